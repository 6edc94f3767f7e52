// The version of the FFI headers that this library was built with. Whoever loads it must compare it with the running
// jaxlib before registering a handler: one that is too new makes every later JAX call of the process fail.

#include "export.hpp"
#include "xla/ffi/api/c_api.h"

extern "C" VERAX_EXPORT int verax_ffi_api_version() { return XLA_FFI_API_MAJOR * 1000 + XLA_FFI_API_MINOR; }
