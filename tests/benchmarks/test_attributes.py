"""The library that keeps the driver's answers, before a driver that counts how often it is asked."""

import json
import os
import subprocess
import sys

import pytest

from helpers.files import ROOT

DRIVER = """
#include <string.h>
static int asked;
int cuAsked(void) { return asked; }
int cuDeviceGetAttribute(int *value, int kind, int device) {
  ++asked;
  if (kind == 7) return 1;
  *value = 1000 * device - kind;
  return 0;
}
int cuGetProcAddress_v2(const char *name, void **found, int version, unsigned long long flags, int *status) {
  *found = !strcmp(name, "cuGetProcAddress") ? (void *)cuGetProcAddress_v2
         : !strcmp(name, "cuDeviceGetAttribute") ? (void *)cuDeviceGetAttribute : 0;
  return *found ? 0 : 500;
}
"""
PROGRAM = """
import ctypes, json
driver, value, status = ctypes.CDLL("libcuda.so.1"), ctypes.c_int(), ctypes.c_int()

def by_address(name):
    get, found = driver.cuGetProcAddress_v2, ctypes.c_void_p()
    for wanted in (b"cuGetProcAddress", name):
        assert get(wanted, ctypes.byref(found), 12000, ctypes.c_uint64(0), ctypes.byref(status)) == 0
        get = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 2, ctypes.c_int, ctypes.c_uint64, ctypes.c_void_p)(
            found.value) if wanted != name else found.value
    return ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_int)(get)

told = []
for ask in (driver.cuDeviceGetAttribute, by_address(b"cuDeviceGetAttribute")):
    for kind, device in [(13, 0), (36, 0), (13, 1), (7, 0), (13, 40), (300, 0)] * 10:
        told.append((kind, device, ask(ctypes.byref(value), kind, device), value.value))
print(json.dumps([told, driver.cuAsked()]))
"""
OUTSIDE = {(13, 40), (300, 0)}  # of the table: these are passed on


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    folder = tmp_path_factory.mktemp("driver")
    (folder / "driver.c").write_text(DRIVER)
    shared = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]
    subprocess.run([*shared, folder / "libcuda.so.1", folder / "driver.c", "-Wno-unused-parameter"], check=True)
    subprocess.run([*shared, folder / "attributes.so", ROOT / "benchmarks/attributes.c", "-ldl"], check=True)
    return folder


def answers(folder, preload):
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder), "LD_PRELOAD": preload}
    ran = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True, capture_output=True, text=True)
    return json.loads(ran.stdout)


def test_each_answer_is_asked_for_once_and_errors_every_time(libraries):
    told, asked = answers(libraries, str(libraries / "attributes.so"))
    without, all_of_them = answers(libraries, "")
    assert told == without and all_of_them == len(told) == 120
    passed_on = sum((kind, device) in OUTSIDE or kind == 7 for kind, device, _, _ in told)
    assert asked == 3 + passed_on and passed_on == 60
