// What this library is: for `strings`, for the loader in helpers/ops/library.py, and the text of a kernel's return code.
#include "launch.h"

#define ONRAMP_TEXT(x) #x
#define ONRAMP_STRING(x) ONRAMP_TEXT(x)

// "onramp_plugins abi=1 tensorrt=8.6 cuda=13.0 arch=sm_90"; tensorrt=none without adapters, arch=host without CUDA.
ONRAMP_EXPORT const char* onramp_plugins_info() {
  return "onramp_plugins abi=1 tensorrt=" ONRAMP_STRING(ONRAMP_TENSORRT) " cuda=" ONRAMP_STRING(ONRAMP_CUDA)
      " arch=" ONRAMP_STRING(ONRAMP_ARCH);
}

ONRAMP_EXPORT const char* onramp_error(int code) {
#ifdef __CUDACC__
  return cudaGetErrorString(static_cast<cudaError_t>(code));
#else
  return code == cudaSuccess ? "no error" : "invalid argument";
#endif
}
