// What the shared library shows to the outside; everything else stays hidden in it.

#ifndef VERAX_EXPORT_HPP_
#define VERAX_EXPORT_HPP_

#if defined(_WIN32)
#define VERAX_EXPORT __declspec(dllexport)
#else
#define VERAX_EXPORT __attribute__((visibility("default")))
#endif

#endif  // VERAX_EXPORT_HPP_
