// An operator as IPluginV3 with its creator: TensorRT 10 and 11.
#pragma once

#include <new>

#include "operator.h"

namespace onramp {

template <typename Operator>
class PluginV3 : public nvinfer1::IPluginV3,
                 public nvinfer1::IPluginV3OneCore,
                 public nvinfer1::IPluginV3OneBuild,
                 public nvinfer1::IPluginV3OneRuntime {
 public:
  explicit PluginV3(Operator const& op) : mOperator(op) {}

  nvinfer1::IPluginCapability* getCapabilityInterface(nvinfer1::PluginCapabilityType type) noexcept override {
    switch (type) {
      case nvinfer1::PluginCapabilityType::kCORE: return static_cast<nvinfer1::IPluginV3OneCore*>(this);
      case nvinfer1::PluginCapabilityType::kBUILD: return static_cast<nvinfer1::IPluginV3OneBuild*>(this);
      case nvinfer1::PluginCapabilityType::kRUNTIME: return static_cast<nvinfer1::IPluginV3OneRuntime*>(this);
    }
    return nullptr;
  }
  nvinfer1::IPluginV3* clone() noexcept override { return new (std::nothrow) PluginV3(mOperator); }

  char const* getPluginName() const noexcept override { return Operator::kName; }
  char const* getPluginVersion() const noexcept override { return "1"; }
  char const* getPluginNamespace() const noexcept override { return ""; }

  int32_t getNbOutputs() const noexcept override { return Operator::kOutputs; }
  int32_t getOutputDataTypes(DataType* outputs, int32_t, DataType const* inputs, int32_t) const noexcept override {
    for (int i = 0; i < Operator::kOutputs; ++i) outputs[i] = inputs[0];
    return 0;
  }
  int32_t getOutputShapes(nvinfer1::DimsExprs const* inputs, int32_t, nvinfer1::DimsExprs const*, int32_t,
                          nvinfer1::DimsExprs* outputs, int32_t, nvinfer1::IExprBuilder& builder) noexcept override {
    for (int i = 0; i < Operator::kOutputs; ++i) outputs[i] = mOperator.output(i, inputs, builder);
    return 0;
  }
  bool supportsFormatCombination(int32_t position, nvinfer1::DynamicPluginTensorDesc const* tensors, int32_t,
                                 int32_t) noexcept override {
    PluginTensorDesc known[Operator::kInputs + Operator::kOutputs]{};
    for (int32_t i = 0; i <= position; ++i) known[i] = tensors[i].desc;
    return accepts(mOperator, position, known);
  }
  int32_t configurePlugin(nvinfer1::DynamicPluginTensorDesc const*, int32_t, nvinfer1::DynamicPluginTensorDesc const*,
                          int32_t) noexcept override {
    return 0;
  }
  size_t getWorkspaceSize(nvinfer1::DynamicPluginTensorDesc const* inputs, int32_t,
                          nvinfer1::DynamicPluginTensorDesc const*, int32_t) const noexcept override {
    return mOperator.workspace(inputs[0].desc.dims);
  }

  int32_t onShapeChange(PluginTensorDesc const*, int32_t, PluginTensorDesc const*, int32_t) noexcept override {
    return 0;
  }
  int32_t enqueue(PluginTensorDesc const* inputs, PluginTensorDesc const*, void const* const* addresses,
                  void* const* outputs, void* workspace, cudaStream_t stream) noexcept override {
    return mOperator.enqueue(inputs, addresses, outputs, workspace, stream);
  }
  nvinfer1::IPluginV3* attachToContext(nvinfer1::IPluginResourceContext*) noexcept override { return clone(); }
  nvinfer1::PluginFieldCollection const* getFieldsToSerialize() noexcept override { return mFields.collection(); }

 private:
  Operator mOperator;
  Fields<Operator> mFields{&mOperator};
};

template <typename Operator>
class CreatorV3 : public nvinfer1::IPluginCreatorV3One {
 public:
  char const* getPluginName() const noexcept override { return Operator::kName; }
  char const* getPluginVersion() const noexcept override { return "1"; }
  char const* getPluginNamespace() const noexcept override { return ""; }
  nvinfer1::PluginFieldCollection const* getFieldNames() noexcept override { return mFields.collection(); }
  nvinfer1::IPluginV3* createPlugin(char const*, nvinfer1::PluginFieldCollection const* fields,
                                    nvinfer1::TensorRTPhase) noexcept override {
    Operator op;
    return read(fields, op) ? new (std::nothrow) PluginV3<Operator>(op) : nullptr;
  }

 private:
  Fields<Operator> mFields{nullptr};
};

}  // namespace onramp
