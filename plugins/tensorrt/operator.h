// What the operators share as TensorRT sees them, whatever its version: the rules of types, and attributes.
//
// An operator is a struct, in a file of its own beside this one, with kName, kSingleName, kInputs, kAttributes and their
// values, supports(), output() (the shape of one) and enqueue(), over the defaults of `Defaults`; plugin_v2.h and
// plugin_v3.h make plugins of it, register.cpp lists them.
//
// Formats are chosen so that no reformat is needed inside a network of one precision: all linear unless an operator
// takes other ones too, all in the type of the first input, coordinates in float32. Weakly typed TensorRT 8.6 gets
// exactly these combinations, so it never picks coordinates in half; from 10 on the network's own types decide, and half
// coordinates are accepted too.
//
// A weakly typed builder takes the combination that it measured to be faster, and 8.6 takes no precision for a plugin. So
// an operator with the attribute `half` takes its first input in half precision alone where that is not 0
// (helpers/engine/tensorrt/graph.py sets it): its weights are then neither kept nor read in single precision.
#pragma once

#include <NvInferRuntime.h>
#include <cuda_runtime_api.h>

#include <array>
#include <cstdint>
#include <cstring>

namespace onramp {

using nvinfer1::DataType;
using nvinfer1::PluginTensorDesc;
using nvinfer1::TensorFormat;

constexpr bool kHalfCoordinates = NV_TENSORRT_MAJOR >= 10;

// Half precision, or single precision unless `half` asks for the other alone.
inline bool isReal(DataType type, bool half = false) {
  return type == DataType::kHALF || (type == DataType::kFLOAT && !half);
}

inline bool isCoordinate(DataType type, DataType first) {
  return type == DataType::kFLOAT || (kHalfCoordinates && type == DataType::kHALF && first == DataType::kHALF);
}

inline bool isIndex(DataType type) {
#if NV_TENSORRT_MAJOR >= 10
  if (type == DataType::kINT64) return true;
#endif
  return type == DataType::kINT32;
}

// The axes of a tensor from `first` to the one before `stop` together; -1, which no kernel takes, where no int holds it.
inline int extents(PluginTensorDesc const& tensor, int first, int stop) {
  int64_t count = 1;
  for (int axis = first; axis < stop; ++axis) {
    int64_t const extent = tensor.dims.d[axis];
    if (extent < 0 || (extent && count > INT32_MAX / extent)) return -1;
    count *= extent;
  }
  return static_cast<int>(count);
}

inline int extent(PluginTensorDesc const& tensor, int axis) { return extents(tensor, axis, axis + 1); }

// Rows of a tensor, all of its axes but the last one together.
inline int vectors(PluginTensorDesc const& tensor) { return extents(tensor, 0, tensor.dims.nbDims - 1); }

// The shape of a product of inputs[0] [...,inputs] with the rows of inputs[1]; gated, half as many.
inline nvinfer1::DimsExprs rowsInPlaceOfInputs(nvinfer1::DimsExprs const* inputs, bool gated,
                                               nvinfer1::IExprBuilder& builder) {
  nvinfer1::DimsExprs shape{inputs[0]};
  auto const* rows = inputs[1].d[0];
  if (gated) rows = builder.operation(nvinfer1::DimensionOperation::kFLOOR_DIV, *rows, *builder.constant(2));
  shape.d[shape.nbDims - 1] = rows;
  return shape;
}

// What an operator may leave as it is.
struct Defaults {
  static constexpr int kOutputs = 1;      // all of the first input's type
  static constexpr size_t kReal = 0;      // so many attributes, the first ones, are float32: a value holds their bits
  static constexpr size_t kOptional = 0;  // so many attributes, the last ones, may be absent and then keep their value
  bool packed = true;                     // in half precision: on pairs, where the kernel has such a form
  // Whether a tensor may lie in memory as its format says; those before its position are known.
  static bool lies(int position, PluginTensorDesc const* tensors) {
    return tensors[position].format == TensorFormat::kLINEAR;
  }
  bool valid() const { return true; }     // whether the values of the attributes are implemented
  size_t workspace(nvinfer1::Dims const&) const { return 0; }  // bytes of scratch memory, of the first input's shape
};

// Whether an operator takes the tensor at a position, after those before it.
template <typename Operator>
bool accepts(Operator const& op, int position, PluginTensorDesc const* tensors) {
  return op.lies(position, tensors) && op.supports(position, tensors);
}

// The published name without the 2: in half precision such plugins work on single numbers.
template <typename Operator>
struct Single : Operator {
  static constexpr char const* kName = Operator::kSingleName;
  Single() { this->packed = false; }
};

template <typename Operator>
constexpr nvinfer1::PluginFieldType typeOf(size_t attribute) {
  return attribute < Operator::kReal ? nvinfer1::PluginFieldType::kFLOAT32 : nvinfer1::PluginFieldType::kINT32;
}

// Reads the attributes that `fields` holds; false if one is absent, of another type or not implemented.
template <typename Operator>
bool read(nvinfer1::PluginFieldCollection const* fields, Operator& into) {
  for (size_t i = 0; i < into.values.size(); ++i) {
    bool found = false;
    for (int j = 0; fields && j < fields->nbFields; ++j) {
      nvinfer1::PluginField const& field = fields->fields[j];
      if (std::strcmp(field.name, Operator::kAttributes[i]) || field.type != typeOf<Operator>(i) || field.length != 1)
        continue;
      std::memcpy(&into.values[i], field.data, sizeof into.values[i]);
      found = true;
    }
    if (!found && i + Operator::kOptional < into.values.size()) return false;
  }
  return into.valid();
}

// The attributes as plugin fields that point into `from` (null: names and types only). Keep the object while it is used.
template <typename Operator>
class Fields {
 public:
  explicit Fields(Operator const* from) {
    for (size_t i = 0; i < mFields.size(); ++i)
      mFields[i] = {Operator::kAttributes[i], from ? &from->values[i] : nullptr, typeOf<Operator>(i), 1};
    mCollection = {static_cast<int32_t>(mFields.size()), mFields.data()};
  }
  Fields(Fields const&) = delete;
  nvinfer1::PluginFieldCollection const* collection() const { return &mCollection; }

 private:
  std::array<nvinfer1::PluginField, std::tuple_size<decltype(Operator::values)>::value> mFields{};
  nvinfer1::PluginFieldCollection mCollection{};
};

}  // namespace onramp
