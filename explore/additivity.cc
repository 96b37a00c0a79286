#include "explore/additivity.h"

#include <algorithm>
#include <boost/multiprecision/cpp_int.hpp>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "formats/error.h"

namespace blockdot::explore {
namespace {

using Integer = boost::multiprecision::cpp_int;

// Bits as Yosys numbers them, from 2 up; its constants are words.
constexpr int kZero = 0, kOne = 1;

int bit_of(const nlohmann::json& bit) {
  if (bit.is_number()) return bit.get<int>();
  const std::string text = bit.get<std::string>();
  BLOCKDOT_CHECK(text == "0" || text == "1", "undefined bit in a netlist");
  return text == "1" ? kOne : kZero;
}

std::vector<int> bits_of(const nlohmann::json& bits) {
  std::vector<int> result;
  for (const nlohmann::json& bit : bits) result.push_back(bit_of(bit));
  return result;
}

Owner join(const Owner& x, const Owner& y) {
  return {std::max(x.first, y.first), std::min(x.end, y.end)};
}

bool of_many(const Owner& owner) { return owner.first >= owner.end; }

enum class Kind { kAdd, kXor, kAnd, kOr, kNot, kReduceOr, kOther };

struct Cell {
  Kind kind = Kind::kOther;
  std::vector<int> a, b;  // kAdd and gates: as wide as y
  std::vector<int> inputs, y;
};

// A gate of one bit.
struct Gate {
  Kind kind = Kind::kOther;
  int a = kZero, b = kZero;
};

// A bit or its complement.
struct Literal {
  int bit;
  bool inverted;
  auto operator<=>(const Literal&) const = default;  // NOLINT(modernize-use-nullptr): its 0
};

}  // namespace

struct LaneNetlist {
  std::vector<Cell> cells;  // what drives comes before what it drives
  std::unordered_map<int, std::pair<std::size_t, std::size_t>> driver;  // cell, place in its y
  std::unordered_map<int, Owner> owners;
  std::map<std::string, std::vector<int>, std::less<>> outputs;

  Owner owner(int bit) const {
    const auto found = owners.find(bit);
    return found == owners.end() ? kAnyLane : found->second;
  }
  bool many(int bit) const { return of_many(owner(bit)); }

  Gate gate(int bit) const {
    const auto found = driver.find(bit);
    if (found == driver.end()) return {};
    const Cell& cell = cells[found->second.first];
    const std::size_t at = found->second.second;
    switch (cell.kind) {
      case Kind::kXor:
      case Kind::kAnd:
      case Kind::kOr:
        return {cell.kind, cell.a[at], cell.b[at]};
      case Kind::kNot:
        return {cell.kind, cell.a[at], kZero};
      case Kind::kAdd:
      case Kind::kReduceOr:
      case Kind::kOther:
        return {};
    }
    return {};
  }
  Literal literal(int bit) const {
    bool inverted = false;
    for (Gate g = gate(bit); g.kind == Kind::kNot; g = gate(bit)) {
      inverted = !inverted;
      bit = g.a;
    }
    return {bit, inverted};
  }

  // What holds where `bit` is one.
  void implied(int bit, std::set<Literal>& all) const {
    const Literal x = literal(bit);
    if (!all.insert(x).second || x.inverted) return;
    const Gate g = gate(x.bit);
    if (g.kind != Kind::kAnd) return;
    implied(g.a, all);
    implied(g.b, all);
  }
  // Never both one: by a bit and its complement, or an exclusive or that its two sides contradict.
  bool exclude(int p, int q) const {
    std::set<Literal> all;
    implied(p, all);
    implied(q, all);
    const auto value = [&](int bit) -> std::optional<bool> {
      const Literal x = literal(bit);
      if (all.contains(x)) return true;
      if (all.contains({x.bit, !x.inverted})) return false;
      return {};
    };
    return std::any_of(all.begin(), all.end(), [&](const Literal& x) {
      if (all.contains({x.bit, !x.inverted})) return true;
      const Gate g = gate(x.bit);
      if (g.kind != Kind::kXor) return false;
      const std::optional<bool> a = value(g.a), b = value(g.b);
      return a && b && (*a != *b) == x.inverted;
    });
  }
};

namespace {

// The weighted sum while it is rewritten. Its constant part does not matter.
class Polynomial {
 public:
  Polynomial(const LaneNetlist& netlist, const std::vector<int>& output)
      : netlist_(netlist), mask_((Integer(1) << output.size()) - 1) {
    for (std::size_t i = 0; i < output.size(); ++i) add(output[i], Integer(1) << i);
  }

  /// The factor of a bit, which leaves the sum.
  Integer take(int bit) {
    const auto found = bits_.find(bit);
    if (found == bits_.end()) return 0;
    const Integer factor = std::move(found->second);
    bits_.erase(found);
    return factor;
  }
  Integer factor(int bit) const {
    const auto found = bits_.find(bit);
    return found == bits_.end() ? Integer(0) : found->second;
  }
  void add(int bit, const Integer& factor) {
    if (bit != kZero && bit != kOne) add_to(bits_, bit, factor);
  }
  /// factor * p * q.
  void add_product(int p, int q, const Integer& factor) {
    if (p == kZero || q == kZero) return;
    if (p == kOne || p == q) return add(q, factor);
    if (q == kOne) return add(p, factor);
    for (const auto& [x, y] : {std::pair(p, q), std::pair(q, p)}) {
      const Gate g = netlist_.gate(x);
      if (g.kind != Kind::kNot) continue;
      add(y, factor);
      return add_product(g.a, y, -factor);
    }
    add_to(products_, std::minmax(p, q), factor);
  }
  Integer modulo(const Integer& x) const {
    Integer r = x % (mask_ + 1);
    return r < 0 ? r + mask_ + 1 : r;
  }

  /// How many bits and products of one lane are left, and of many.
  std::pair<std::int64_t, std::int64_t> left() const {
    std::int64_t one = 0, many = 0;
    for (const auto& [bit, factor] : bits_) ++(netlist_.many(bit) ? many : one);
    for (const auto& [pair, factor] : products_)
      ++(of_many(join(netlist_.owner(pair.first), netlist_.owner(pair.second))) ? many : one);
    return {one, many};
  }

 private:
  template <typename Map, typename Key>
  void add_to(Map& map, const Key& key, const Integer& factor) {
    Integer sum = factor;
    if (const auto found = map.find(key); found != map.end()) sum += found->second;
    sum = modulo(sum);
    if (sum == 0)
      map.erase(key);
    else
      map[key] = std::move(sum);
  }

  const LaneNetlist& netlist_;
  Integer mask_;
  std::unordered_map<int, Integer> bits_;
  std::map<std::pair<int, int>, Integer> products_;
};

// The largest value that a word can have, of what its bits are.
Integer largest(const std::vector<int>& word) {
  Integer value = 0;
  for (std::size_t i = 0; i < word.size(); ++i)
    if (word[i] != kZero) value += Integer(1) << i;
  return value;
}

}  // namespace

LaneProof::LaneProof(const nlohmann::json& module,
                     const std::function<Owner(std::string_view port, int index)>& owner) {
  auto netlist = std::make_unique<LaneNetlist>();
  for (const auto& [name, port] : module.at("ports").items()) {
    const std::vector<int> bits = bits_of(port.at("bits"));
    if (port.at("direction") == "output") {
      netlist->outputs[name] = bits;
      continue;
    }
    for (std::size_t i = 0; i < bits.size(); ++i)
      netlist->owners[bits[i]] = owner(name, static_cast<int>(i));
  }

  std::vector<Cell> cells;
  std::unordered_map<int, std::size_t> driver;
  for (const auto& [name, cell_json] : module.at("cells").items()) {
    const nlohmann::json& json = cell_json;
    static const std::map<std::string, Kind> kKinds = {
        {"$add", Kind::kAdd}, {"$xor", Kind::kXor}, {"$and", Kind::kAnd},
        {"$or", Kind::kOr},   {"$not", Kind::kNot}, {"$reduce_or", Kind::kReduceOr}};
    const std::string type = json.at("type");
    Cell cell;
    if (const auto found = kKinds.find(type); found != kKinds.end()) cell.kind = found->second;
    for (const auto& [port, direction] : json.at("port_directions").items()) {
      const std::vector<int> bits = bits_of(json.at("connections").at(port));
      if (direction == "output") {
        BLOCKDOT_CHECK(port == "Y", "cell {} is not combinational", type);
        cell.y = bits;
      } else {
        cell.inputs.insert(cell.inputs.end(), bits.begin(), bits.end());
        if (port == "A") cell.a = bits;
        if (port == "B") cell.b = bits;
      }
    }
    // Verilog's extension of an operand to the width of the result.
    const auto extend = [&](std::vector<int>& word, const char* side) {
      const bool is_signed =
          json.at("parameters").at(std::string(side) + "_SIGNED").get<std::string>().back() == '1';
      const int fill = is_signed && !word.empty() ? word.back() : kZero;
      word.resize(cell.y.size(), fill);
    };
    if (cell.kind != Kind::kOther && cell.kind != Kind::kReduceOr) {
      extend(cell.a, "A");
      if (cell.kind != Kind::kNot) extend(cell.b, "B");
    }
    for (int bit : cell.y) driver[bit] = cells.size();
    cells.push_back(std::move(cell));
  }

  // Depth first, so that a cell comes after what drives it.
  enum class State : char { kNew, kOpen, kDone };
  std::vector<State> state(cells.size(), State::kNew);
  std::vector<std::pair<std::size_t, std::size_t>> stack;  // a cell, the next of its inputs
  for (std::size_t start = 0; start < cells.size(); ++start) {
    if (state[start] != State::kNew) continue;
    stack.emplace_back(start, 0);
    state[start] = State::kOpen;
    while (!stack.empty()) {
      auto& [at, next] = stack.back();
      if (next < cells[at].inputs.size()) {
        const auto found = driver.find(cells[at].inputs[next++]);
        if (found == driver.end()) continue;
        BLOCKDOT_CHECK(state[found->second] != State::kOpen, "a loop in a netlist");
        if (state[found->second] == State::kDone) continue;
        state[found->second] = State::kOpen;
        stack.emplace_back(found->second, 0);
        continue;
      }
      Cell& cell = cells[at];
      state[at] = State::kDone;
      stack.pop_back();
      for (std::size_t i = 0; i < cell.y.size(); ++i) {
        Owner all = kAnyLane;
        // A gate's bit depends on its own two; of other cells each bit may depend on all.
        if (!cell.a.empty() && cell.kind != Kind::kAdd && cell.kind != Kind::kReduceOr &&
            cell.kind != Kind::kOther) {
          all = netlist->owner(cell.a[i]);
          if (cell.kind != Kind::kNot) all = join(all, netlist->owner(cell.b[i]));
        } else {
          for (int bit : cell.inputs) all = join(all, netlist->owner(bit));
        }
        netlist->owners[cell.y[i]] = all;
        netlist->driver[cell.y[i]] = {netlist->cells.size(), i};
      }
      netlist->cells.push_back(std::move(cell));
    }
  }
  netlist_ = std::move(netlist);
}

LaneProof::~LaneProof() = default;

LaneProof::Result LaneProof::adds(std::string_view port) const {
  const LaneNetlist& n = *netlist_;
  const auto output = n.outputs.find(port);
  BLOCKDOT_CHECK(output != n.outputs.end(), "output of a netlist");
  Polynomial sum(n, output->second);
  Result result;
  for (auto cell = n.cells.rbegin(); cell != n.cells.rend(); ++cell) {
    if (cell->kind == Kind::kAdd) {
      // Bits of one factor times their weights: the word as a number.
      const Integer first = sum.factor(cell->y[0]);
      bool word = std::any_of(cell->y.begin(), cell->y.end(), [&](int y) { return n.many(y); });
      for (std::size_t i = 0; i < cell->y.size() && word; ++i)
        word = sum.factor(cell->y[i]) == sum.modulo(first << i);
      const bool carries = largest(cell->a) + largest(cell->b) >= Integer(1) << cell->y.size() &&
                           sum.modulo(first << cell->y.size()) != 0;
      if (!word || first == 0 || carries) continue;
      ++result.rewritten;
      for (std::size_t i = 0; i < cell->y.size(); ++i) {
        sum.take(cell->y[i]);
        sum.add(cell->a[i], first << i);
        sum.add(cell->b[i], first << i);
      }
      continue;
    }
    for (int y : cell->y) {
      const Gate g = n.gate(y);
      if (g.kind == Kind::kOther || !n.many(y)) continue;
      const Integer factor = sum.take(y);
      if (factor == 0) continue;
      ++result.rewritten;
      switch (g.kind) {
        case Kind::kNot:
          sum.add(g.a, -factor);
          break;
        case Kind::kXor:
          sum.add(g.a, factor);
          sum.add(g.b, factor);
          sum.add_product(g.a, g.b, -2 * factor);
          break;
        case Kind::kOr:
          sum.add(g.a, factor);
          sum.add(g.b, factor);
          if (!n.exclude(g.a, g.b)) sum.add_product(g.a, g.b, -factor);
          break;
        case Kind::kAnd:
          sum.add_product(g.a, g.b, factor);
          break;
        case Kind::kAdd:
        case Kind::kReduceOr:
        case Kind::kOther:
          BLOCKDOT_CHECK(false, "gate");
      }
    }
  }
  const auto [one, many] = sum.left();
  result.proved = many == 0;
  result.left = result.proved ? one : many;
  return result;
}

LaneProof::Result LaneProof::ors(std::string_view port) const {
  const LaneNetlist& n = *netlist_;
  const auto output = n.outputs.find(port);
  BLOCKDOT_CHECK(output != n.outputs.end() && output->second.size() == 1, "output of a netlist");
  Result result;
  std::set<int> seen;
  std::vector<int> open = output->second;
  std::int64_t one = 0, many = 0;
  while (!open.empty()) {
    const int bit = open.back();
    open.pop_back();
    if (!seen.insert(bit).second) continue;
    if (!n.many(bit)) {
      ++one;
      continue;
    }
    const auto found = n.driver.find(bit);
    const Cell* cell = found == n.driver.end() ? nullptr : &n.cells[found->second.first];
    if (cell != nullptr && cell->kind == Kind::kReduceOr && bit == cell->y[0]) {
      ++result.rewritten;
      open.insert(open.end(), cell->inputs.begin(), cell->inputs.end());
    } else if (const Gate g = n.gate(bit); g.kind == Kind::kOr) {
      ++result.rewritten;
      open.push_back(g.a);
      open.push_back(g.b);
    } else {
      ++many;
    }
  }
  result.proved = many == 0;
  result.left = result.proved ? one : many;
  return result;
}

}  // namespace blockdot::explore
