// The table of operators, and how TensorRT finds their plugins.
//
// 8.6: registered when the library is loaded (dlopen, ctypes, trtexec --plugins); it needs libnvinfer for the registry.
// 10 and 11: IPluginRegistry::loadLibrary (trtexec --staticPlugins, --dynamicPlugins) asks getCreators(). It fails if a
// plugin is already registered (NvInferRuntimeCommon.h), so nothing is registered on loading, and nothing is linked.
#include <NvInferVersion.h>

#include "add_rms_norm.h"
#include "bev_pool_v2.h"
#include "cached_attention.h"
#include "grid_sample_3d.h"
#include "inverse.h"
#include "matvec.h"
#include "matvec_int4.h"
#include "mix_levels.h"
#include "ms_deform_attn.h"
#include "project_pillars.h"
#include "rotate.h"

#define ONRAMP_OPERATORS(use) \
  use(Attention)              \
  use(Rotation)               \
  use(Pooling)                \
  use(VolumeSampling)         \
  use(PillarProjection)       \
  use(Inversion)              \
  use(CachedAttention)        \
  use(MatVec)                 \
  use(MatVecInt4)             \
  use(Normalization)          \
  use(LevelMixture)

#if NV_TENSORRT_MAJOR >= 10

#include "plugin_v3.h"

#define ONRAMP_EXPORT extern "C" __attribute__((visibility("default")))
#define ONRAMP_CREATOR(Operator) \
  new onramp::CreatorV3<onramp::Operator>, new onramp::CreatorV3<onramp::Single<onramp::Operator>>,

ONRAMP_EXPORT nvinfer1::IPluginCreatorInterface* const* getCreators(int32_t& count) {
  static nvinfer1::IPluginCreatorInterface* const creators[] = {ONRAMP_OPERATORS(ONRAMP_CREATOR)};
  count = sizeof creators / sizeof *creators;
  return creators;
}

ONRAMP_EXPORT void setLoggerFinder(nvinfer1::ILoggerFinder*) {}  // part of the protocol; these plugins log nothing

#else

#include "plugin_v2.h"

#define ONRAMP_REGISTER(Operator)                                 \
  using Operator##Creator = onramp::CreatorV2<onramp::Operator>; \
  using Operator##SingleCreator = onramp::CreatorV2<onramp::Single<onramp::Operator>>; \
  REGISTER_TENSORRT_PLUGIN(Operator##Creator);                    \
  REGISTER_TENSORRT_PLUGIN(Operator##SingleCreator);

ONRAMP_OPERATORS(ONRAMP_REGISTER)

#endif
