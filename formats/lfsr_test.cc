#include "formats/lfsr.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "formats/lfsr_jump.h"

namespace blockdot::formats {
namespace {

constexpr LfsrKind kKinds[] = {LfsrKind::kGalois, LfsrKind::kFibonacci};

// Oracle: counting.
TEST(Lfsr, OfUpTo20BitsVisitsEveryStateButZero) {
  for (LfsrKind kind : kKinds)
    for (int width = 4; width <= 20; ++width) {
      const LfsrSpec spec{kind, width};
      Lfsr lfsr(1, spec);
      std::uint64_t period = 0;
      do {
        lfsr.step();
        ++period;
        ASSERT_NE(lfsr.state(), 0u);
      } while (lfsr.state() != 1 && period <= spec.mask());
      EXPECT_EQ(period, spec.mask()) << to_text(spec);
    }
}

// Oracle: algebra. A polynomial p of degree n over GF(2) is primitive exactly when x has order
// 2^n - 1 modulo p: x^(2^n - 1) = 1, and not yet at (2^n - 1) / q for any prime q.
std::uint64_t times(std::uint64_t a, std::uint64_t b, std::uint64_t low, int n) {
  std::uint64_t product = 0;  // modulo x^n + low
  for (int i = n - 1; i >= 0; --i) {
    const bool carry = (product >> (n - 1)) & 1;
    product = product << 1 & ~std::uint64_t{0} >> (64 - n);
    if (carry) product ^= low;
    if ((b >> i) & 1) product ^= a;
  }
  return product;
}

std::uint64_t power_of_x(std::uint64_t exponent, std::uint64_t low, int n) {
  std::uint64_t result = 1;
  for (std::uint64_t base = 2; exponent > 0; exponent >>= 1) {
    if (exponent & 1) result = times(result, base, low, n);
    base = times(base, base, low, n);
  }
  return result;
}

// The primes of 2^n - 1. Each divides 2^d - 1 for its order d, a divisor of n, and is 1 modulo d.
std::set<std::uint64_t> primes_of_mersenne(int n) {
  std::set<std::uint64_t> primes;
  for (int d = 2; d <= n; ++d) {
    if (n % d != 0) continue;
    std::uint64_t rest = ~std::uint64_t{0} >> (64 - d);
    const auto take = [&](std::uint64_t q) {
      for (; rest % q == 0; rest /= q) primes.insert(q);
    };
    for (std::uint64_t q : std::set<std::uint64_t>(primes)) take(q);
    const auto step = static_cast<std::uint64_t>(d);
    for (std::uint64_t q = step + 1; q <= rest / q; q += step) take(q);
    if (rest > 1) primes.insert(rest);
  }
  return primes;
}

TEST(Lfsr, HasAPrimitivePolynomialAtEveryWidth) {
  ASSERT_EQ(primes_of_mersenne(64),
            (std::set<std::uint64_t>{3, 5, 17, 257, 641, 65537, 6700417}));  // OEIS A000225
  ASSERT_EQ(primes_of_mersenne(59), (std::set<std::uint64_t>{179951, 3203431780337}));
  int checked = 0;
  for (int n = 4; n <= 64; ++n) {
    std::uint64_t low = 1;
    for (int e : lfsr_exponents(n))
      if (e < n) low |= std::uint64_t{1} << e;
    const std::uint64_t order = ~std::uint64_t{0} >> (64 - n);
    EXPECT_EQ(power_of_x(order, low, n), 1u) << n;
    for (std::uint64_t q : primes_of_mersenne(n)) {
      EXPECT_NE(power_of_x(order / q, low, n), 1u) << n << " " << q;
      ++checked;
    }
  }
  EXPECT_GT(checked, 200);
}

// Both kinds step by that polynomial: what they shift out, s(0), s(1), ..., obeys its recurrence,
// the Fibonacci register forwards and the Galois register backwards in time.
TEST(Lfsr, ShiftsOutTheRecurrenceOfItsPolynomial) {
  for (int n = 4; n <= 64; ++n)
    for (LfsrKind kind : kKinds) {
      const LfsrSpec spec{kind, n};
      Lfsr lfsr(0x9E3779B97F4A7C15u, spec);
      std::vector<int> s;
      for (int t = 0; t < 4 * n; ++t, lfsr.step()) s.push_back(static_cast<int>(lfsr.state() & 1));
      for (int t = 0; t < 3 * n; ++t) {
        int sum = 0;
        for (int e : lfsr_exponents(n))
          sum ^= s[static_cast<size_t>(t + (kind == LfsrKind::kFibonacci ? e : n - e))];
        sum ^= s[static_cast<size_t>(kind == LfsrKind::kFibonacci ? t : t + n)];
        ASSERT_EQ(sum, 0) << to_text(spec) << " " << t;
      }
    }
}

TEST(Lfsr, DrawIsTheLowBitsAndThenRSteps) {
  for (LfsrKind kind : kKinds) {
    const LfsrSpec spec{kind, 32};
    Lfsr drawn(0xDEADBEEF, spec), stepped(0xDEADBEEF, spec);
    EXPECT_EQ(drawn.draw(12), 0xEEFu);
    for (int i = 0; i < 12; ++i) stepped.step();
    EXPECT_EQ(drawn.state(), stepped.state());
  }
}

TEST(Lfsr, ReadsAZeroSeedAsOne) {
  EXPECT_EQ(Lfsr(0).state(), Lfsr(1).state());
  EXPECT_EQ(Lfsr(0x30, {LfsrKind::kGalois, 4}).state(), 1u) << "seeds are taken modulo 2^width";
}

TEST(Lfsr, JumpsAreThatManySteps) {
  for (LfsrKind kind : kKinds)
    for (int width : {4, 7, 16, 31, 32, 33, 64}) {
      const LfsrSpec spec{kind, width};
      for (std::uint64_t steps : {0, 1, 2, 31, 32, 1000, 12345}) {
        Lfsr stream(0xDEADBEEFCAFEF00Du, spec);
        const std::uint64_t start = stream.state();
        for (std::uint64_t i = 0; i < steps; ++i) stream.step();
        EXPECT_EQ(LfsrJump(steps, spec)(start), stream.state()) << to_text(spec) << " " << steps;
      }
      EXPECT_EQ(LfsrJump(spec.mask(), spec)(5), 5u) << "a whole period";
    }
}

// Small enough to walk all of them: no stream meets another's first state within the distance.
TEST(Lfsr, StreamsDoNotOverlapWithinTheirDistance) {
  for (LfsrKind kind : kKinds)
    for (std::uint64_t count : {1, 2, 5, 16, 4095}) {
      const LfsrSpec spec{kind, 12, 77};
      const LfsrStreams streams = lfsr_streams(spec, count, 1);
      ASSERT_EQ(streams.states.size(), count);
      EXPECT_EQ(streams.distance, 4095 / count);
      EXPECT_EQ(streams.states[0], 77u);
      std::set<std::uint64_t> seen;
      for (std::uint64_t state : streams.states) {
        Lfsr lfsr(state, spec);
        for (std::uint64_t i = 0; i < streams.distance; ++i, lfsr.step())
          ASSERT_TRUE(seen.insert(lfsr.state()).second) << to_text(spec) << " " << count;
      }
    }
}

// Oracle: a walk. Draws one after the other, each of `bits` states: whether a state comes twice.
bool some_state_is_drawn_twice(const LfsrSpec& spec, std::uint64_t count, int bits) {
  std::set<std::uint64_t> seen;
  Lfsr lfsr(spec.seed, spec);
  for (std::uint64_t i = 0; i < count * static_cast<std::uint64_t>(bits); ++i, lfsr.step())
    if (!seen.insert(lfsr.state()).second) return true;
  return false;
}

TEST(Lfsr, DrawsThatWouldShareBitsAreRefusedWithTheNarrowestRegister) {
  int refused = 0, taken = 0;
  for (LfsrKind kind : kKinds)
    for (int width = 4; width <= 10; ++width)
      for (int bits = 1; bits <= width; ++bits)
        for (std::uint64_t count = 1; count <= 40; ++count) {
          const LfsrSpec spec{kind, width, 3, width % 2 == 0};
          const std::string what = fmt::format("{} {} {}", to_text(spec), count, bits);
          const bool shares = some_state_is_drawn_twice(spec, count, bits);
          LfsrSpec fits = spec;
          fits.width = narrowest_lfsr(count, bits);
          EXPECT_EQ(fits.width > width, shares) << what;
          EXPECT_FALSE(some_state_is_drawn_twice(fits, count, bits)) << what;
          (shares ? refused : taken)++;
          if (!shares) {
            validate_draws(spec, count, bits, "lanes");
            EXPECT_GE(lfsr_streams(spec, count, bits).distance, static_cast<unsigned>(bits));
            continue;
          }
          for (const bool streams : {false, true}) try {
              if (streams)
                lfsr_streams(spec, count, bits);
              else
                validate_draws(spec, count, bits, "lanes");
              ADD_FAILURE() << what << " is taken";
            } catch (const ConfigError& error) {
              const std::string line = error.what();
              EXPECT_TRUE(line.ends_with("take lfsr = " + to_text(fits) + " or wider")) << line;
            }
          validate_draws(fits, count, bits, "lanes");
        }
  EXPECT_GT(refused, 500);
  EXPECT_GT(taken, 500);
  EXPECT_EQ(narrowest_lfsr(1, 32), 32) << "a draw is bits of one state";
  EXPECT_THROW(validate_draws({LfsrKind::kGalois, 31}, 1, 32, "lanes"), ConfigError);
}

TEST(Lfsr, TextFormsAreReadBackAndMistakesAreNamed) {
  for (const char* text :
       {"galois:32", "fibonacci:16", "galois:64:18446744073709551615", "galois:4:15"})
    EXPECT_EQ(to_text(parse_lfsr(text)), text);
  EXPECT_EQ(to_text(parse_lfsr("galois:32:77:no-port")), "galois:32:77:no-port");
  EXPECT_FALSE(parse_lfsr("galois:32:no-port").port);
  EXPECT_EQ(start_state(parse_lfsr("galois:32:77:no-port"), 5), 77u);
  EXPECT_EQ(start_state(parse_lfsr("galois:32:77"), 5), 5u);
  EXPECT_EQ(parse_lfsr("Fibonacci"), (LfsrSpec{LfsrKind::kFibonacci, 32, 1}));
  EXPECT_EQ(parse_lfsr("galois:16:0xACE1").seed, 0xACE1u);
  for (const char* text : {"", "galios:32", "galois:3", "galois:65", "galois:x", "galois:16:0",
                           "galois:16:65536", "galois:16:-1", "galois:16:1:2", "galois:16:"})
    EXPECT_THROW(parse_lfsr(text), ConfigError) << text;
}

}  // namespace
}  // namespace blockdot::formats
