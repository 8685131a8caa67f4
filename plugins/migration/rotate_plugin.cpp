#include "rotate_plugin.h"

#include "rotate_kernel.h"
#include <cstring>

using namespace nvinfer1;

namespace example
{
namespace
{
char const* const kNAME = "RotateExample";
char const* const kVERSION = "1";
PluginField const kFIELD{"interpolation", nullptr, PluginFieldType::kINT32, 1};
PluginFieldCollection const kFIELDS{1, &kFIELD};

int32_t readInterpolation(PluginFieldCollection const* fields)
{
    for (int32_t i = 0; i < fields->nbFields; ++i)
    {
        if (std::strcmp(fields->fields[i].name, kFIELD.name) == 0)
        {
            return *static_cast<int32_t const*>(fields->fields[i].data);
        }
    }
    return 0;
}
} // namespace

RotatePlugin::RotatePlugin(int32_t interpolation)
    : mInterpolation(interpolation)
{
}

RotatePlugin::RotatePlugin(void const* data, size_t length)
    : mInterpolation(0)
{
    if (length == sizeof(mInterpolation))
    {
        std::memcpy(&mInterpolation, data, length);
    }
}

IPluginV2DynamicExt* RotatePlugin::clone() const noexcept
{
    auto* copy = new RotatePlugin(mInterpolation);
    copy->setPluginNamespace(mNamespace.c_str());
    return copy;
}

char const* RotatePlugin::getPluginType() const noexcept
{
    return kNAME;
}

char const* RotatePlugin::getPluginVersion() const noexcept
{
    return kVERSION;
}

void RotatePlugin::setPluginNamespace(char const* pluginNamespace) noexcept
{
    mNamespace = pluginNamespace;
}

char const* RotatePlugin::getPluginNamespace() const noexcept
{
    return mNamespace.c_str();
}

int32_t RotatePlugin::getNbOutputs() const noexcept
{
    return 1;
}

DataType RotatePlugin::getOutputDataType(
    int32_t /* index */, DataType const* inputTypes, int32_t /* nbInputs */) const noexcept
{
    return inputTypes[0];
}

DimsExprs RotatePlugin::getOutputDimensions(
    int32_t /* outputIndex */, DimsExprs const* inputs, int32_t /* nbInputs */, IExprBuilder& /* builder */) noexcept
{
    return inputs[0];
}

bool RotatePlugin::supportsFormatCombination(
    int32_t pos, PluginTensorDesc const* inOut, int32_t nbInputs, int32_t nbOutputs) noexcept
{
    if (nbInputs != 3 || nbOutputs != 1 || inOut[pos].format != TensorFormat::kLINEAR)
    {
        return false;
    }
    DataType const type = inOut[pos].type;
    switch (pos)
    {
    case 0: return type == DataType::kFLOAT || type == DataType::kHALF;
    case 3: return type == inOut[0].type;
    default: return type == DataType::kFLOAT;
    }
}

void RotatePlugin::configurePlugin(DynamicPluginTensorDesc const* /* in */, int32_t /* nbInputs */,
    DynamicPluginTensorDesc const* /* out */, int32_t /* nbOutputs */) noexcept
{
}

size_t RotatePlugin::getWorkspaceSize(PluginTensorDesc const* /* inputs */, int32_t /* nbInputs */,
    PluginTensorDesc const* /* outputs */, int32_t /* nbOutputs */) const noexcept
{
    return 0;
}

int32_t RotatePlugin::initialize() noexcept
{
    return 0;
}

void RotatePlugin::terminate() noexcept {}

int32_t RotatePlugin::enqueue(PluginTensorDesc const* inputDesc, PluginTensorDesc const* /* outputDesc */,
    void const* const* inputs, void* const* outputs, void* /* workspace */, cudaStream_t stream) noexcept
{
    int32_t const half = inputDesc[0].type == DataType::kHALF;
    auto const* angle = static_cast<float const*>(inputs[1]);
    auto const* center = static_cast<float const*>(inputs[2]);
    return example_rotate(inputs[0], angle, center, outputs[0], inputDesc[0].dims.d, mInterpolation, half, stream);
}

void RotatePlugin::destroy() noexcept
{
    delete this;
}

size_t RotatePlugin::getSerializationSize() const noexcept
{
    return sizeof(mInterpolation);
}

void RotatePlugin::serialize(void* buffer) const noexcept
{
    std::memcpy(buffer, &mInterpolation, sizeof(mInterpolation));
}

char const* RotatePluginCreator::getPluginName() const noexcept
{
    return kNAME;
}

char const* RotatePluginCreator::getPluginVersion() const noexcept
{
    return kVERSION;
}

PluginFieldCollection const* RotatePluginCreator::getFieldNames() noexcept
{
    return &kFIELDS;
}

IPluginV2* RotatePluginCreator::createPlugin(char const* /* name */, PluginFieldCollection const* fields) noexcept
{
    return new RotatePlugin(readInterpolation(fields));
}

IPluginV2* RotatePluginCreator::deserializePlugin(char const* /* name */, void const* data, size_t length) noexcept
{
    return new RotatePlugin(data, length);
}

void RotatePluginCreator::setPluginNamespace(char const* pluginNamespace) noexcept
{
    mNamespace = pluginNamespace;
}

char const* RotatePluginCreator::getPluginNamespace() const noexcept
{
    return mNamespace.c_str();
}
} // namespace example

// What IPluginRegistry::loadLibrary() looks up.
extern "C" IPluginCreator* const* getPluginCreators(int32_t& count)
{
    static example::RotatePluginCreator creator;
    static IPluginCreator* const creators[] = {&creator};
    count = 1;
    return creators;
}

extern "C" void setLoggerFinder(ILoggerFinder* /* finder */) {}
