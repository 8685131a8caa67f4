"""Names of TensorRT, for a compiler without its headers."""

# The names of TensorRT that the operators use, to try their rules without it (NvInferRuntime.h of 8.6 and 10).
STAND_IN = """
#pragma once
#include <cstdint>
using cudaStream_t = void*;
namespace nvinfer1 {
enum class DataType { kFLOAT, kHALF, kINT8, kINT32, kBOOL, kUINT8, kFP8, kBF16, kINT64 };
struct Dims { int32_t nbDims; int64_t d[8]; };
enum class TensorFormat { kLINEAR = 0, kDHWC8 = 6 };
struct PluginTensorDesc { Dims dims; DataType type; TensorFormat format; };
struct DimsExprs { int32_t nbDims; int const* d[8]; };
enum class DimensionOperation { kSUM, kPROD, kMAX, kMIN, kSUB, kEQUAL, kLESS, kFLOOR_DIV };
struct IExprBuilder {
  int values[8], used = 0;
  int const* constant(int value) { return &(values[used++] = value); }
  int const* operation(DimensionOperation what, int first, int second) {
    if (what == DimensionOperation::kSUB) return constant(first - second);
    return constant(what == DimensionOperation::kPROD ? first * second : first / second);
  }
};
enum class PluginFieldType { kFLOAT32 = 1, kINT32 = 5 };
struct PluginField { char const* name; void const* data; PluginFieldType type; int32_t length; };
struct PluginFieldCollection { int32_t nbFields; PluginField const* fields; };
}
"""
