// A stand-in for libcuda.so.1 as a driver of CUDA 13 exports it; wrong handles are errors, streams run at once.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define STREAM (void *)0x7f1234567890
#define CALL(name, ...) int name(__VA_ARGS__)
CALL(cuInit, unsigned flags) { return getenv("NO_GPU") ? 100 : flags; }
CALL(cuDeviceGet, int *device, int ordinal) { *device = ordinal; return 0; }
CALL(cuDeviceGetAttribute, int *value, int kind, int device) {
  *value = kind == 75 ? 8 : kind == 76 ? 7 : -1; return 0;
}
CALL(cuDeviceGetName, char *text, int size, int device) { strncpy(text, "Compiled GPU", size); return 0; }
CALL(cuDriverGetVersion, int *version) { *version = 13000; return 0; }
CALL(cuDevicePrimaryCtxRetain, void **context, int device) { *context = (void *)1; return 0; }
CALL(cuCtxSetCurrent, void *context) { return context != (void *)1; }
CALL(cuCtxSynchronize, void) { return 0; }
CALL(cuMemGetInfo_v2, size_t *free, size_t *total) { *free = 5, *total = 7; return 0; }
CALL(cuGetErrorName, int code, const char **text) {
  *text = code == 100 ? "CUDA_ERROR_NO_DEVICE" : "CUDA_ERROR"; return 0;
}
CALL(cuGetErrorString, int code, const char **text) { *text = "in words"; return 0; }
CALL(cuMemAlloc_v2, void **address, size_t size) { *address = malloc(size); return 0; }
CALL(cuMemFree_v2, void *address) { free(address); return 0; }
CALL(cuMemHostAlloc, void **address, size_t size, unsigned flags) { *address = malloc(size); return flags; }
CALL(cuMemFreeHost, void *address) { free(address); return 0; }
CALL(cuStreamCreate, void **stream, unsigned flags) { *stream = STREAM; return flags != 1; }
CALL(cuStreamDestroy_v2, void *stream) { return stream != STREAM; }
CALL(cuStreamSynchronize, void *stream) { return stream != STREAM; }
CALL(cuStreamWaitEvent, void *stream, void *event, unsigned flags) {
  return stream != STREAM || event != (void *)5 || flags;
}
CALL(cuMemcpyHtoDAsync_v2, void *to, void *from, size_t size, void *stream) {
  memcpy(to, from, size); return stream != STREAM;
}
CALL(cuMemcpyDtoHAsync_v2, void *to, void *from, size_t size, void *stream) {
  memcpy(to, from, size); return stream != STREAM;
}
CALL(cuMemcpyDtoDAsync_v2, void *to, void *from, size_t size, void *stream) {
  memcpy(to, from, size); return stream != STREAM;
}
CALL(cuMemsetD8Async, void *to, unsigned char value, size_t size, void *stream) {
  memset(to, value, size); return stream != STREAM;
}
CALL(cuStreamBeginCapture_v2, void *stream, int mode) { return stream != STREAM || mode != 1; }
CALL(cuStreamEndCapture, void *stream, void **graph) { *graph = (void *)3; return stream != STREAM; }
CALL(cuGraphInstantiateWithFlags, void **made, void *graph, unsigned long long flags) {
  *made = (void *)4; return graph != (void *)3 || flags;
}
CALL(cuGraphDestroy, void *graph) { return graph != (void *)3; }
CALL(cuGraphExecDestroy, void *made) { return made != (void *)4; }
CALL(cuGraphLaunch, void *made, void *stream) { return made != (void *)4 || stream != STREAM; }
CALL(cuEventCreate, void **event, unsigned flags) { *event = (void *)5; return flags; }
CALL(cuEventRecord, void *event, void *stream) { return event != (void *)5 || stream != STREAM; }
CALL(cuEventSynchronize, void *event) { return event != (void *)5; }
CALL(cuEventElapsedTime_v2, float *ms, void *start, void *end) {
  *ms = 1.5f; return start != (void *)5 || end != (void *)5;
}
CALL(cuEventDestroy_v2, void *event) { return event != (void *)5; }
CALL(cuGetProcAddress_v2, const char *name, void **found, int version, unsigned long long flags, void *result) {
  const char *ends[] = {"_v2", "", "WithFlags"};
  char whole[100];
  *found = 0;
  for (int i = 0; i < 3 && !*found; i++) {
    snprintf(whole, sizeof whole, "%s%s", name, ends[i]);
    *found = dlsym(dlopen("libcuda.so.1", RTLD_NOW), whole);
  }
  return *found ? 0 : 500;
}
