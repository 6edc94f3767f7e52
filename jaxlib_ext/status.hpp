// How a solver ended; the numbers are those of verax.matching.Status.

#ifndef VERAX_STATUS_HPP_
#define VERAX_STATUS_HPP_

#include <cstdint>

namespace verax {

enum class Status : int32_t { kOk = 0, kInfeasible = 1, kNonFinite = 2, kIterationLimit = 3 };

}  // namespace verax

#endif  // VERAX_STATUS_HPP_
