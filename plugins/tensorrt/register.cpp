// How TensorRT finds the plugins.
//
// 8.6: registered when the library is loaded (dlopen, ctypes, trtexec --plugins); it needs libnvinfer for the registry.
// 10 and 11: IPluginRegistry::loadLibrary (trtexec --staticPlugins, --dynamicPlugins) asks getCreators(). It fails if a
// plugin is already registered (NvInferRuntimeCommon.h), so nothing is registered on loading, and nothing is linked.
#include <NvInferVersion.h>

#define ONRAMP_EXPORT extern "C" __attribute__((visibility("default")))

#if NV_TENSORRT_MAJOR >= 10

#include "plugin_v3.h"

ONRAMP_EXPORT nvinfer1::IPluginCreatorInterface* const* getCreators(int32_t& count) {
  static onramp::CreatorV3<onramp::Attention> attention;
  static onramp::CreatorV3<onramp::Rotation> rotation;
  static nvinfer1::IPluginCreatorInterface* const creators[] = {&attention, &rotation};
  count = 2;
  return creators;
}

ONRAMP_EXPORT void setLoggerFinder(nvinfer1::ILoggerFinder*) {}  // part of the protocol; these plugins log nothing

#else

#include "plugin_v2.h"

using AttentionCreator = onramp::CreatorV2<onramp::Attention>;
using RotationCreator = onramp::CreatorV2<onramp::Rotation>;
REGISTER_TENSORRT_PLUGIN(AttentionCreator);
REGISTER_TENSORRT_PLUGIN(RotationCreator);

#endif
