// Keeps the driver's answers about a device, for machines where a builder of engines spends its time asking them anew.
//
//     gcc -O2 -shared -fPIC -o build/attributes.so benchmarks/attributes.c -ldl
//     LD_PRELOAD=$PWD/build/attributes.so python -m benchmarks tensorrt ...
//
// A build of TensorRT 8.6 calls cuDeviceGetAttribute up to three million times; behind a hypervisor a clock rate can take a
// millisecond. Programs find the function by dlsym, or by cuGetProcAddress, so both are wrapped. What it answers does not
// change while a program runs. Linux on x86-64 with glibc.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#define DEVICES 16
#define ATTRIBUTES 256
#define KNOWN (INT64_C(1) << 32)  // beside the 32 bits of the answer

typedef int Status;  // CUresult: 0 is success

static void *(*find)(void *, const char *);
static Status (*ask)(int *, int, int);
static Status (*address1)(const char *, void **, int, uint64_t);
static Status (*address2)(const char *, void **, int, uint64_t, int *);
static _Atomic int64_t answers[DEVICES][ATTRIBUTES];

static void *replaced(const char *name, void *found);

static Status kept(int *value, int attribute, int device) {
  if (!value || attribute < 0 || attribute >= ATTRIBUTES || device < 0 || device >= DEVICES)
    return ask(value, attribute, device);
  int64_t known = answers[device][attribute];
  if (!known) {
    Status status = ask(value, attribute, device);
    if (status == 0) answers[device][attribute] = KNOWN | (uint32_t)*value;
    return status;
  }
  *value = (int)(uint32_t)known;
  return 0;
}

static Status get_address1(const char *name, void **found, int version, uint64_t flags) {
  Status status = address1(name, found, version, flags);
  if (status == 0 && found && *found) *found = replaced(name, *found);
  return status;
}

static Status get_address2(const char *name, void **found, int version, uint64_t flags, int *symbol) {
  Status status = address2(name, found, version, flags, symbol);
  if (status == 0 && found && *found) *found = replaced(name, *found);
  return status;
}

// cuGetProcAddress asked for itself gives its second form from CUDA 12 on, dlsym its first.
static void *replaced(const char *name, void *found) {
  if (!strcmp(name, "cuDeviceGetAttribute")) {
    ask = (Status(*)(int *, int, int))found;
    return (void *)kept;
  }
  void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
  void *second = driver ? find(driver, "cuGetProcAddress_v2") : NULL;
  if (!strcmp(name, "cuGetProcAddress_v2") || (!strcmp(name, "cuGetProcAddress") && found == second)) {
    address2 = (Status(*)(const char *, void **, int, uint64_t, int *))found;
    return (void *)get_address2;
  }
  if (!strcmp(name, "cuGetProcAddress")) {
    address1 = (Status(*)(const char *, void **, int, uint64_t))found;
    return (void *)get_address1;
  }
  return found;
}

void *dlsym(void *restrict handle, const char *restrict name) {
  if (!find) find = (void *(*)(void *, const char *))dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
  if (strncmp(name, "cuDeviceGetAttribute", 20) && strncmp(name, "cuGetProcAddress", 16))
    return find(handle, name);  // a tail call, so that RTLD_NEXT still means the caller's library
  void *found = find(handle, name);
  return found && handle != RTLD_NEXT ? replaced(name, found) : found;
}
