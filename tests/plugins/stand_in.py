"""Names of TensorRT for a compiler without its headers: STAND_IN, and INTERFACES behind it where plugins are made."""

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

# The interfaces of plugins, what plugin_v2.h and plugin_v3.h override of them (the same header of 8.6, and of 10).
INTERFACES = """
namespace nvinfer1 {
struct DynamicPluginTensorDesc { PluginTensorDesc desc; };
#if NV_TENSORRT_MAJOR < 10
struct IPluginV2DynamicExt {
  virtual ~IPluginV2DynamicExt() = default;
  virtual IPluginV2DynamicExt* clone() const noexcept = 0;
  virtual DimsExprs getOutputDimensions(int32_t, DimsExprs const*, int32_t, IExprBuilder&) noexcept = 0;
  virtual bool supportsFormatCombination(int32_t, PluginTensorDesc const*, int32_t, int32_t) noexcept = 0;
  virtual void configurePlugin(DynamicPluginTensorDesc const*, int32_t, DynamicPluginTensorDesc const*,
                               int32_t) noexcept = 0;
  virtual size_t getWorkspaceSize(PluginTensorDesc const*, int32_t, PluginTensorDesc const*,
                                  int32_t) const noexcept = 0;
  virtual int32_t enqueue(PluginTensorDesc const*, PluginTensorDesc const*, void const* const*, void* const*, void*,
                          cudaStream_t) noexcept = 0;
  virtual DataType getOutputDataType(int32_t, DataType const*, int32_t) const noexcept = 0;
  virtual char const* getPluginType() const noexcept = 0;
  virtual char const* getPluginVersion() const noexcept = 0;
  virtual int32_t getNbOutputs() const noexcept = 0;
  virtual int32_t initialize() noexcept = 0;
  virtual void terminate() noexcept = 0;
  virtual size_t getSerializationSize() const noexcept = 0;
  virtual void serialize(void*) const noexcept = 0;
  virtual void destroy() noexcept = 0;
  virtual void setPluginNamespace(char const*) noexcept = 0;
  virtual char const* getPluginNamespace() const noexcept = 0;
};
struct IPluginCreator {
  virtual ~IPluginCreator() = default;
  virtual char const* getPluginName() const noexcept = 0;
  virtual char const* getPluginVersion() const noexcept = 0;
  virtual PluginFieldCollection const* getFieldNames() noexcept = 0;
  virtual IPluginV2DynamicExt* createPlugin(char const*, PluginFieldCollection const*) noexcept = 0;
  virtual IPluginV2DynamicExt* deserializePlugin(char const*, void const*, size_t) noexcept = 0;
  virtual void setPluginNamespace(char const*) noexcept = 0;
  virtual char const* getPluginNamespace() const noexcept = 0;
};
#else
enum class PluginCapabilityType { kCORE, kBUILD, kRUNTIME };
enum class TensorRTPhase { kBUILD, kRUNTIME };
struct IPluginResourceContext;
struct IPluginCapability { virtual ~IPluginCapability() = default; };
struct IPluginV3 {
  virtual ~IPluginV3() = default;
  virtual IPluginCapability* getCapabilityInterface(PluginCapabilityType) noexcept = 0;
  virtual IPluginV3* clone() noexcept = 0;
};
struct IPluginV3OneCore : IPluginCapability {
  virtual char const* getPluginName() const noexcept = 0;
  virtual char const* getPluginVersion() const noexcept = 0;
  virtual char const* getPluginNamespace() const noexcept = 0;
};
struct IPluginV3OneBuild : IPluginCapability {
  virtual int32_t getNbOutputs() const noexcept = 0;
  virtual int32_t getOutputDataTypes(DataType*, int32_t, DataType const*, int32_t) const noexcept = 0;
  virtual int32_t getOutputShapes(DimsExprs const*, int32_t, DimsExprs const*, int32_t, DimsExprs*, int32_t,
                                  IExprBuilder&) noexcept = 0;
  virtual bool supportsFormatCombination(int32_t, DynamicPluginTensorDesc const*, int32_t, int32_t) noexcept = 0;
  virtual int32_t configurePlugin(DynamicPluginTensorDesc const*, int32_t, DynamicPluginTensorDesc const*,
                                  int32_t) noexcept = 0;
  virtual size_t getWorkspaceSize(DynamicPluginTensorDesc const*, int32_t, DynamicPluginTensorDesc const*,
                                  int32_t) const noexcept = 0;
};
struct IPluginV3OneRuntime : IPluginCapability {
  virtual int32_t onShapeChange(PluginTensorDesc const*, int32_t, PluginTensorDesc const*, int32_t) noexcept = 0;
  virtual int32_t enqueue(PluginTensorDesc const*, PluginTensorDesc const*, void const* const*, void* const*, void*,
                          cudaStream_t) noexcept = 0;
  virtual IPluginV3* attachToContext(IPluginResourceContext*) noexcept = 0;
  virtual PluginFieldCollection const* getFieldsToSerialize() noexcept = 0;
};
struct IPluginCreatorV3One {
  virtual ~IPluginCreatorV3One() = default;
  virtual char const* getPluginName() const noexcept = 0;
  virtual char const* getPluginVersion() const noexcept = 0;
  virtual char const* getPluginNamespace() const noexcept = 0;
  virtual PluginFieldCollection const* getFieldNames() noexcept = 0;
  virtual IPluginV3* createPlugin(char const*, PluginFieldCollection const*, TensorRTPhase) noexcept = 0;
};
#endif
}
"""
