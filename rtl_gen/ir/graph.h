// The graph: a pure function (inputs, state) -> (outputs, next state) of strict-width operations.
//
// Everything the generator makes is one of these 22 operations. Widths never adapt: arguments have
// the width the operation asks for, or the graph refuses them. All values are bit vectors; whether
// a vector is signed is the builder's business (build/fx.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "rtl_gen/ir/bits.h"

namespace blockdot::rtl_gen {

enum class Op : std::uint8_t {
  kInput,    // a port
  kConst,    // a literal
  kState,    // a register: the value of the last beat
  kNot,      // ~a
  kAnd,      // a & b                      (equal widths)
  kOr,       // a | b
  kXor,      // a ^ b
  kAdd,      // a + b mod 2^width          (equal widths)
  kSub,      // a - b mod 2^width
  kMul,      // a * b mod 2^width          (equal widths)
  kSum,      // a + b + c + ... mod 2^width; lowered before scheduling
  kEq,       // a == b                     (1 bit)
  kUlt,      // a < b, unsigned            (1 bit)
  kMux,      // a ? b : c                  (a: 1 bit)
  kShl,      // a << b, zeros enter        (b: any width)
  kLshr,     // a >> b, zeros enter
  kSlice,    // a[lo +: width]
  kConcat,   // {a, b, ...}, the first argument on top
  kSext,     // a, its top bit repeated
  kOrr,      // |a                         (1 bit)
  kClz,      // zeros above the top one of a; the width of a when a == 0; lowered before scheduling
  kFullAdd,  // {carries, sums} of the bits of a, b and c, twice their width: one library cell a
             // bit, a half adder's where c is constant zero
};

/// Text of an operation, as in the dump: "add", "slice"...
std::string_view to_text(Op op);

enum class NodeId : std::uint32_t {};
constexpr std::size_t index(NodeId id) { return static_cast<std::size_t>(id); }

struct Node {
  Op op = Op::kConst;
  int width = 0;
  int lo = 0;  // kSlice: lowest bit taken
  std::vector<NodeId> args;
  Bits value;            // kConst: the literal; kState: its reset value, width 0 when not reset
  int passed = 0;        // kOr: bits that the carry in argument 1 passes, for its cost; 0: no carry
  bool control = false;  // its pipeline registers are reset to zero
  std::string parameter;  // kState: the Verilog parameter that replaces the reset value
  std::string name;       // empty: the emitter finds one
  std::string part_of;    // it is some bits of a named word: "prod0_bit_3"; for the emitter
  std::string note;       // range, for the reader of the Verilog
  std::string section;    // what part of the data path it belongs to: "decode", "multiply"...
};

class Graph {
 public:
  struct State {
    NodeId node;
    NodeId next;
  };
  struct Output {
    std::string name;
    NodeId node;
  };

  NodeId input(std::string name, int width);
  NodeId constant(Bits value);
  /// A register; `reset` empty: not reset (its first use must not need its value).
  NodeId state(std::string name, int width, const std::optional<Bits>& reset);
  /// The value `state` takes after each beat. Once for every state.
  void set_next(NodeId state, NodeId next);
  void output(std::string name, NodeId node);

  NodeId unary(Op op, NodeId a);             // kNot kOrr kClz
  NodeId binary(Op op, NodeId a, NodeId b);  // kAnd..kMul kEq kUlt kShl kLshr
  NodeId sum(std::vector<NodeId> terms);
  NodeId mux(NodeId select, NodeId if_one, NodeId if_zero);
  NodeId slice(NodeId a, int lo, int width);
  NodeId concat(std::vector<NodeId> parts);
  NodeId sext(NodeId a, int width);
  NodeId full_add(NodeId a, NodeId b, NodeId c);

  const Node& node(NodeId id) const { return nodes_[index(id)]; }
  int width(NodeId id) const { return nodes_[index(id)].width; }
  std::size_t size() const { return nodes_.size(); }
  const std::vector<NodeId>& inputs() const { return inputs_; }
  const std::vector<State>& states() const { return states_; }
  const std::vector<Output>& outputs() const { return outputs_; }

  /// Names and notes stay with the first giver: equal nodes are one node. What a named
  /// concatenation consists of is part of that word.
  void set_name(NodeId id, std::string_view name);
  void set_note(NodeId id, std::string_view note);
  /// The names and the note of a node of another graph.
  void describe_as(NodeId id, const Node& other);
  /// A kOr of the carry that a group of `bits` bits makes and, second, the one that it passes on.
  void set_passed(NodeId id, int bits);
  void set_control(NodeId id) { nodes_[index(id)].control = true; }
  /// The module takes the reset value of `state` as a parameter of this name, by default the one
  /// given here; a zero is read as 1.
  void set_parameter(NodeId state, std::string_view name) { nodes_[index(state)].parameter = name; }
  /// Nodes made from now on belong to this part of the data path.
  void section(std::string_view title) { section_ = title; }

  /// Which nodes an output or a next state depends on (inputs always count).
  std::vector<bool> live() const;
  /// Throws InternalError when an invariant is broken: order, widths, a state without next.
  void verify() const;
  /// One line a live node, in order: `sum:12 = add a:12 b:12`.
  std::string dump() const;

 private:
  NodeId add(Node node);
  void check(const Node& node) const;

  std::vector<Node> nodes_;
  std::vector<NodeId> inputs_;
  std::vector<State> states_;
  std::vector<Output> outputs_;
  std::string section_;
  std::unordered_multimap<std::size_t, NodeId> by_hash_;  // equal nodes are shared
};

}  // namespace blockdot::rtl_gen
