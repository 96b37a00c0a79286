#include "rtl_gen/ir/interpreter.h"

#include <algorithm>
#include <bit>

#include "formats/error.h"

namespace blockdot::rtl_gen {
namespace {

using Limb = std::uint64_t;
__extension__ using Wide = unsigned __int128;

Limb top_mask(int width) { return width % 64 == 0 ? ~Limb{0} : (Limb{1} << (width % 64)) - 1; }

// Bits [position, position + 64) of an n-limb value; beyond its end, zero.
Limb window(const Limb* value, int n, int position) {
  const int limb = position / 64, shift = position % 64;
  Limb out = limb < n ? value[limb] >> shift : 0;
  if (shift != 0 && limb + 1 < n) out |= value[limb + 1] << (64 - shift);
  return out;
}

}  // namespace

UnitInterpreter::UnitInterpreter(const Graph& graph) {
  graph.verify();
  const std::vector<bool> live = graph.live();
  std::vector<std::uint32_t> at(graph.size(), 0);
  std::uint32_t end = 0;
  for (std::size_t i = 0; i < graph.size(); ++i) {
    if (!live[i]) continue;
    at[i] = end;
    end +=
        static_cast<std::uint32_t>(limb_count(graph.width(NodeId{static_cast<std::uint32_t>(i)})));
  }
  values_.assign(end, 0);
  const auto place = [&](NodeId id) { return at[index(id)]; };
  for (NodeId id : graph.inputs())
    inputs_.push_back({graph.node(id).name, graph.width(id), place(id)});
  for (const Graph::Output& o : graph.outputs())
    outputs_.push_back({o.name, graph.width(o.node), place(o.node)});
  for (const Graph::State& s : graph.states()) {
    if (!live[index(s.node)]) continue;
    registers_.push_back(
        {place(s.node), place(s.next), limb_count(graph.width(s.node)), graph.node(s.node).value});
  }
  for (std::size_t i = 0; i < graph.size(); ++i) {
    if (!live[i]) continue;
    const NodeId id{static_cast<std::uint32_t>(i)};
    const Node& n = graph.node(id);
    if (n.op == Op::kInput || n.op == Op::kState) continue;
    if (n.op == Op::kConst) {
      std::copy(n.value.limbs.begin(), n.value.limbs.end(), values_.begin() + at[i]);
      continue;
    }
    Step s{};
    s.op = n.op;
    s.width = n.width;
    s.lo = n.lo;
    s.to = at[i];
    s.mask = top_mask(n.width);
    s.narrow = n.width <= 64;
    for (NodeId a : n.args) s.narrow = s.narrow && graph.width(a) <= 64;
    s.a = place(n.args[0]);
    s.arg_width = graph.width(n.args[0]);
    if (n.args.size() > 1) s.b = place(n.args[1]);
    if (n.args.size() > 2) s.c = place(n.args[2]);
    if (n.op == Op::kShl || n.op == Op::kLshr) s.arg_width = graph.width(n.args[1]);
    if (n.op == Op::kConcat || n.op == Op::kSum) {
      s.first_part = static_cast<std::uint32_t>(parts_.size());
      s.part_count = static_cast<std::uint32_t>(n.args.size());
      int position = n.width;
      for (NodeId a : n.args) {
        position -= graph.width(a);
        parts_.push_back({place(a), graph.width(a), n.op == Op::kConcat ? position : 0});
      }
    }
    steps_.push_back(s);
  }
  std::size_t state_limbs = 0;
  for (const Register& r : registers_) state_limbs += static_cast<std::size_t>(r.limbs);
  saved_.resize(state_limbs);
  reset();
}

std::size_t UnitInterpreter::input_index(std::string_view name) const {
  for (std::size_t i = 0; i < inputs_.size(); ++i)
    if (inputs_[i].name == name) return i;
  BLOCKDOT_CHECK(false, "no input {}", name);
  return 0;
}

std::size_t UnitInterpreter::output_index(std::string_view name) const {
  for (std::size_t i = 0; i < outputs_.size(); ++i)
    if (outputs_[i].name == name) return i;
  BLOCKDOT_CHECK(false, "no output {}", name);
  return 0;
}

bool UnitInterpreter::has_input(std::string_view name) const {
  return std::any_of(inputs_.begin(), inputs_.end(), [&](const Port& p) { return p.name == name; });
}

bool UnitInterpreter::has_output(std::string_view name) const {
  return std::any_of(outputs_.begin(), outputs_.end(),
                     [&](const Port& p) { return p.name == name; });
}

void UnitInterpreter::set_input(std::size_t index, std::span<const Limb> limbs) {
  const Port& port = inputs_.at(index);
  const auto count = static_cast<std::size_t>(limb_count(port.width));
  for (std::size_t i = 0; i < count; ++i) values_[port.at + i] = i < limbs.size() ? limbs[i] : 0;
  values_[port.at + count - 1] &= top_mask(port.width);
}

std::span<const Limb> UnitInterpreter::output(std::size_t index) const {
  const Port& port = outputs_.at(index);
  return {values_.data() + port.at, static_cast<std::size_t>(limb_count(port.width))};
}

Bits UnitInterpreter::output_bits(std::size_t index) const {
  const auto limbs = output(index);
  return {outputs_[index].width, {limbs.begin(), limbs.end()}};
}

void UnitInterpreter::reset() {
  pending_ = false;
  for (const Register& r : registers_)
    for (int i = 0; i < r.limbs; ++i)
      values_[r.at + static_cast<std::uint32_t>(i)] =
          r.start.width > 0 ? r.start.limbs[static_cast<std::size_t>(i)] : 0;
}

void UnitInterpreter::step() {
  Limb* const v = values_.data();
  // States move when the next beat comes, so that an output which is a state shows this beat's
  // value.
  if (pending_) {
    std::size_t k = 0;
    for (const Register& r : registers_)
      for (int i = 0; i < r.limbs; ++i) saved_[k++] = v[r.next + static_cast<std::uint32_t>(i)];
    k = 0;
    for (const Register& r : registers_)
      for (int i = 0; i < r.limbs; ++i) v[r.at + static_cast<std::uint32_t>(i)] = saved_[k++];
  }
  for (const Step& s : steps_) {
    if (!s.narrow) {
      run_wide(s);
      continue;
    }
    const Limb a = v[s.a];
    Limb r = 0;
    switch (s.op) {
      case Op::kInput:
      case Op::kConst:
      case Op::kState:
        break;
      case Op::kNot:
        r = ~a & s.mask;
        break;
      case Op::kAnd:
        r = a & v[s.b];
        break;
      case Op::kOr:
        r = a | v[s.b];
        break;
      case Op::kXor:
        r = a ^ v[s.b];
        break;
      case Op::kAdd:
        r = (a + v[s.b]) & s.mask;
        break;
      case Op::kSub:
        r = (a - v[s.b]) & s.mask;
        break;
      case Op::kMul:
        r = (a * v[s.b]) & s.mask;
        break;
      case Op::kSum:
        for (std::uint32_t i = 0; i < s.part_count; ++i) r += v[parts_[s.first_part + i].at];
        r &= s.mask;
        break;
      case Op::kEq:
        r = a == v[s.b];
        break;
      case Op::kUlt:
        r = a < v[s.b];
        break;
      case Op::kMux:
        r = a ? v[s.b] : v[s.c];
        break;
      case Op::kShl:
        r = v[s.b] >= static_cast<Limb>(s.width) ? 0 : (a << v[s.b]) & s.mask;
        break;
      case Op::kLshr:
        r = v[s.b] >= static_cast<Limb>(s.width) ? 0 : a >> v[s.b];
        break;
      case Op::kSlice:
        r = (a >> s.lo) & s.mask;
        break;
      case Op::kConcat:
        for (std::uint32_t i = 0; i < s.part_count; ++i) {
          const Part& p = parts_[s.first_part + i];
          r |= v[p.at] << p.position;
        }
        break;
      case Op::kSext: {
        const int spare = 64 - s.arg_width;
        r = static_cast<Limb>(static_cast<std::int64_t>(a << spare) >> spare) & s.mask;
        break;
      }
      case Op::kOrr:
        r = a != 0;
        break;
      case Op::kClz:
        r = static_cast<Limb>(std::countl_zero(a) - (64 - s.arg_width));
        break;
      case Op::kFullAdd: {
        const Limb b = v[s.b], c = v[s.c];
        r = ((a & b) | (c & (a | b))) << s.arg_width | (a ^ b ^ c);
        break;
      }
    }
    v[s.to] = r;
  }
  pending_ = true;
}

void UnitInterpreter::run_wide(const Step& s) {
  Limb* const v = values_.data();
  const int n = limb_count(s.width);
  const int an = limb_count(s.arg_width);
  Limb* const to = v + s.to;
  const Limb* const a = v + s.a;
  const Limb* const b = v + s.b;
  const Limb* const c = v + s.c;
  const auto add_into = [&](const Limb* x) {
    Limb carry = 0;
    for (int i = 0; i < n; ++i) {
      const Wide t = static_cast<Wide>(to[i]) + x[i] + carry;
      to[i] = static_cast<Limb>(t);
      carry = static_cast<Limb>(t >> 64);
    }
  };
  switch (s.op) {
    case Op::kInput:
    case Op::kConst:
    case Op::kState:
      return;
    case Op::kNot:
      for (int i = 0; i < n; ++i) to[i] = ~a[i];
      break;
    case Op::kAnd:
      for (int i = 0; i < n; ++i) to[i] = a[i] & b[i];
      break;
    case Op::kOr:
      for (int i = 0; i < n; ++i) to[i] = a[i] | b[i];
      break;
    case Op::kXor:
      for (int i = 0; i < n; ++i) to[i] = a[i] ^ b[i];
      break;
    case Op::kAdd:
      std::copy(a, a + n, to);
      add_into(b);
      break;
    case Op::kSub: {
      Limb borrow = 0;
      for (int i = 0; i < n; ++i) {
        const Wide t = static_cast<Wide>(a[i]) - b[i] - borrow;
        to[i] = static_cast<Limb>(t);
        borrow = static_cast<Limb>(t >> 64) & 1;
      }
      break;
    }
    case Op::kMul: {
      std::fill(to, to + n, 0);
      for (int i = 0; i < n; ++i) {
        Limb carry = 0;
        for (int j = 0; i + j < n; ++j) {
          const Wide t = static_cast<Wide>(a[i]) * b[j] + to[i + j] + carry;
          to[i + j] = static_cast<Limb>(t);
          carry = static_cast<Limb>(t >> 64);
        }
      }
      break;
    }
    case Op::kSum: {
      std::fill(to, to + n, 0);
      for (std::uint32_t i = 0; i < s.part_count; ++i) add_into(v + parts_[s.first_part + i].at);
      break;
    }
    case Op::kEq:
      to[0] = std::equal(a, a + an, b);
      return;
    case Op::kUlt: {
      to[0] = 0;
      for (int i = an - 1; i >= 0; --i) {
        if (a[i] == b[i]) continue;
        to[0] = a[i] < b[i];
        break;
      }
      return;
    }
    case Op::kMux: {
      const Limb* const from = a[0] ? b : c;
      std::copy(from, from + n, to);
      return;
    }
    case Op::kShl:
    case Op::kLshr: {
      bool far = false;
      for (int i = 1; i < an; ++i) far = far || b[i] != 0;
      if (far || b[0] >= static_cast<Limb>(s.width)) {
        std::fill(to, to + n, 0);
        return;
      }
      const int amount = static_cast<int>(b[0]);
      if (s.op == Op::kLshr) {
        for (int i = 0; i < n; ++i) to[i] = window(a, n, 64 * i + amount);
      } else {
        const int limb = amount / 64, shift = amount % 64;
        for (int i = n - 1; i >= 0; --i) {
          Limb x = i - limb >= 0 ? a[i - limb] << shift : 0;
          if (shift != 0 && i - limb - 1 >= 0) x |= a[i - limb - 1] >> (64 - shift);
          to[i] = x;
        }
      }
      break;
    }
    case Op::kSlice:
      for (int i = 0; i < n; ++i) to[i] = window(a, an, 64 * i + s.lo);
      break;
    case Op::kConcat:
      std::fill(to, to + n, 0);
      for (std::uint32_t i = 0; i < s.part_count; ++i) {
        const Part& p = parts_[s.first_part + i];
        const int limbs = limb_count(p.width), limb = p.position / 64, shift = p.position % 64;
        for (int j = 0; j < limbs; ++j) {
          const Limb x = v[p.at + static_cast<std::uint32_t>(j)];
          to[limb + j] |= x << shift;
          if (shift != 0 && limb + j + 1 < n) to[limb + j + 1] |= x >> (64 - shift);
        }
      }
      return;
    case Op::kSext: {
      std::copy(a, a + an, to);
      const bool negative = (a[an - 1] >> ((s.arg_width - 1) % 64)) & 1;
      if (negative) to[an - 1] |= ~top_mask(s.arg_width);
      std::fill(to + an, to + n, negative ? ~Limb{0} : 0);
      break;
    }
    case Op::kOrr:
      to[0] = std::any_of(a, a + an, [](Limb x) { return x != 0; });
      return;
    case Op::kClz: {
      int zeros = s.arg_width;
      for (int i = an - 1; i >= 0; --i) {
        if (a[i] == 0) continue;
        zeros = s.arg_width - (64 * i + std::bit_width(a[i]));
        break;
      }
      to[0] = static_cast<Limb>(zeros);
      return;
    }
    case Op::kFullAdd: {
      std::fill(to, to + n, 0);
      const int limb = s.arg_width / 64, shift = s.arg_width % 64;
      for (int i = 0; i < an; ++i) {
        const Limb carries = (a[i] & b[i]) | (c[i] & (a[i] | b[i]));
        to[i] |= a[i] ^ b[i] ^ c[i];
        to[limb + i] |= carries << shift;
        if (shift != 0 && limb + i + 1 < n) to[limb + i + 1] |= carries >> (64 - shift);
      }
      break;
    }
  }
  to[n - 1] &= s.mask;
}

std::map<std::string, std::vector<Limb>> UnitInterpreter::step(
    const std::map<std::string, std::vector<Limb>>& inputs) {
  for (const auto& [name, limbs] : inputs) set_input(input_index(name), limbs);
  step();
  std::map<std::string, std::vector<Limb>> result;
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    const auto limbs = output(i);
    result[outputs_[i].name] = {limbs.begin(), limbs.end()};
  }
  return result;
}

}  // namespace blockdot::rtl_gen
