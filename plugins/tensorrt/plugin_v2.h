// An operator as IPluginV2DynamicExt with its creator: TensorRT 8.6.
#pragma once

#include <new>
#include <string>

#include "operator.h"

namespace onramp {

template <typename Operator>
class PluginV2 : public nvinfer1::IPluginV2DynamicExt {
 public:
  explicit PluginV2(Operator const& op) : mOperator(op) {}

  nvinfer1::IPluginV2DynamicExt* clone() const noexcept override {
    auto* copy = new (std::nothrow) PluginV2(mOperator);
    if (copy) copy->mNamespace = mNamespace;
    return copy;
  }
  nvinfer1::DimsExprs getOutputDimensions(int32_t index, nvinfer1::DimsExprs const* inputs, int32_t,
                                          nvinfer1::IExprBuilder& builder) noexcept override {
    return mOperator.output(index, inputs, builder);
  }
  bool supportsFormatCombination(int32_t position, PluginTensorDesc const* tensors, int32_t,
                                 int32_t) noexcept override {
    return accepts(mOperator, position, tensors);
  }
  void configurePlugin(nvinfer1::DynamicPluginTensorDesc const*, int32_t, nvinfer1::DynamicPluginTensorDesc const*,
                       int32_t) noexcept override {}
  size_t getWorkspaceSize(PluginTensorDesc const* inputs, int32_t, PluginTensorDesc const*,
                          int32_t) const noexcept override {
    return mOperator.workspace(inputs[0].dims);
  }
  int32_t enqueue(PluginTensorDesc const* inputs, PluginTensorDesc const*, void const* const* addresses,
                  void* const* outputs, void* workspace, cudaStream_t stream) noexcept override {
    return mOperator.enqueue(inputs, addresses, outputs, workspace, stream);
  }

  DataType getOutputDataType(int32_t, DataType const* types, int32_t) const noexcept override { return types[0]; }
  char const* getPluginType() const noexcept override { return Operator::kName; }
  char const* getPluginVersion() const noexcept override { return "1"; }
  int32_t getNbOutputs() const noexcept override { return Operator::kOutputs; }
  int32_t initialize() noexcept override { return 0; }
  void terminate() noexcept override {}
  size_t getSerializationSize() const noexcept override { return sizeof(int32_t) * mOperator.values.size(); }
  void serialize(void* buffer) const noexcept override {
    auto* at = static_cast<char*>(buffer);
    for (int32_t const& value : mOperator.values) std::memcpy(at, &value, sizeof value), at += sizeof value;
  }
  void destroy() noexcept override { delete this; }
  void setPluginNamespace(char const* name) noexcept override { mNamespace = name ? name : ""; }
  char const* getPluginNamespace() const noexcept override { return mNamespace.c_str(); }

 private:
  Operator mOperator;
  std::string mNamespace;
};

template <typename Operator>
class CreatorV2 : public nvinfer1::IPluginCreator {
 public:
  char const* getPluginName() const noexcept override { return Operator::kName; }
  char const* getPluginVersion() const noexcept override { return "1"; }
  nvinfer1::PluginFieldCollection const* getFieldNames() noexcept override { return mFields.collection(); }
  nvinfer1::IPluginV2DynamicExt* createPlugin(char const*, nvinfer1::PluginFieldCollection const* fields) noexcept override {
    Operator op;
    return read(fields, op) ? named(op) : nullptr;
  }
  nvinfer1::IPluginV2DynamicExt* deserializePlugin(char const*, void const* data, size_t size) noexcept override {
    Operator op;
    if (size != sizeof(int32_t) * op.values.size()) return nullptr;
    auto const* at = static_cast<char const*>(data);
    for (int32_t& value : op.values) std::memcpy(&value, at, sizeof value), at += sizeof value;
    return op.valid() ? named(op) : nullptr;
  }
  void setPluginNamespace(char const* name) noexcept override { mNamespace = name ? name : ""; }
  char const* getPluginNamespace() const noexcept override { return mNamespace.c_str(); }

 private:
  nvinfer1::IPluginV2DynamicExt* named(Operator const& op) {
    auto* plugin = new (std::nothrow) PluginV2<Operator>(op);
    if (plugin) plugin->setPluginNamespace(mNamespace.c_str());
    return plugin;
  }
  Fields<Operator> mFields{nullptr};
  std::string mNamespace;
};

}  // namespace onramp
