#include "rtl_gen/ir/evaluate.h"

#include "formats/error.h"

namespace blockdot::rtl_gen {

Bits evaluate(const Node& node, std::span<const Bits> args) {
  const auto u = [&](std::size_t i) { return to_int(args[i]); };
  const auto done = [&](const Int& value) { return to_bits(value, node.width); };
  switch (node.op) {
    case Op::kInput:
    case Op::kConst:
    case Op::kState:
      break;
    case Op::kNot:
      return done(pow2(node.width) - 1 - u(0));
    case Op::kAnd:
      return done(u(0) & u(1));
    case Op::kOr:
      return done(u(0) | u(1));
    case Op::kXor:
      return done(u(0) ^ u(1));
    case Op::kAdd:
      return done(u(0) + u(1));
    case Op::kSub:
      return done(u(0) - u(1));
    case Op::kMul:
      return done(u(0) * u(1));
    case Op::kSum: {
      Int total = 0;
      for (std::size_t i = 0; i < args.size(); ++i) total += u(i);
      return done(total);
    }
    case Op::kEq:
      return done(u(0) == u(1) ? 1 : 0);
    case Op::kUlt:
      return done(u(0) < u(1) ? 1 : 0);
    case Op::kMux:
      return args[0].bit(0) ? args[1] : args[2];
    case Op::kShl:
    case Op::kLshr: {
      const Int amount = u(1);
      if (amount >= node.width) return done(0);
      const int n = static_cast<int>(amount);
      return done(floor_shift(u(0), node.op == Op::kShl ? -n : n));
    }
    case Op::kSlice:
      return done(floor_shift(u(0), node.lo));
    case Op::kConcat: {
      Int value = 0;
      for (std::size_t i = 0; i < args.size(); ++i)
        value = floor_shift(value, -args[i].width) | u(i);
      return done(value);
    }
    case Op::kSext:
      return done(to_signed_int(args[0]));
    case Op::kOrr:
      return done(u(0) != 0 ? 1 : 0);
    case Op::kClz:
      return done(u(0) == 0 ? args[0].width : args[0].width - unsigned_width(u(0)));
    case Op::kFullAdd: {
      const Int carries = (u(0) & u(1)) | (u(2) & (u(0) | u(1)));
      return done(floor_shift(carries, -args[0].width) | (u(0) ^ u(1) ^ u(2)));
    }
  }
  BLOCKDOT_CHECK(false, "evaluate({})", to_text(node.op));
  return {};
}

}  // namespace blockdot::rtl_gen
