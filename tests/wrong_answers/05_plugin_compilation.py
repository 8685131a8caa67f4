"""Wrong answers to the exercises of lesson 05; `ci/lessons/wrong.py` tells the form."""


# %% Exercise 1: divides by the number of sectors
# says: 32 bytes a sector
def used_share(addresses, size):
    read = {address + offset for address in addresses for offset in range(size)}
    return len(read) / len({byte // 32 for byte in read})


# %% Exercise 1: counts all sectors between the first and the last
# says: only sectors that are touched
def used_share(addresses, size):
    read = {address + offset for address in addresses for offset in range(size)}
    return len(read) / (32 * (max(read) // 32 - min(read) // 32 + 1))


# %% Exercise 1: counts what every thread reads, also the same byte
# says: moved once
def used_share(addresses, size):
    sectors = {(address + offset) // 32 for address in addresses for offset in range(size)}
    return len(addresses) * size / (32 * len(sectors))


# %% Exercise 1: looks at the first byte of each load
# says: crosses the end of a sector
def used_share(addresses, size):
    read = {address + offset for address in addresses for offset in range(size)}
    return len(read) / (32 * len({address // 32 for address in addresses}))


# %% Exercise 1: sectors begin at the first address
# says: multiples of 32
def used_share(addresses, size):
    read = {address + offset for address in addresses for offset in range(size)}
    return len(read) / (32 * len({(byte - min(read)) // 32 for byte in read}))


# %% Exercise 1: counts addresses and not bytes
# says: all bytes are used
def used_share(addresses, size):
    return len(set(addresses)) / (32 * len({address // 32 for address in addresses}))


# %% Exercise 1: a sector for each thread
# says: neighbors share sectors
def used_share(addresses, size):
    return size / 32


# %% Exercise 1: in percent
# says: all bytes are used
def used_share(addresses, size):
    read = {address + offset for address in addresses for offset in range(size)}
    return 100 * len(read) / (32 * len({byte // 32 for byte in read}))


# %% Exercise 1: single precision, from NumPy
# accepted
def used_share(addresses, size):
    read = np.unique(np.add.outer(addresses, np.arange(size)))
    return np.float32(read.size / (32 * np.unique(read // 32).size))


# %% Exercise 1: rounded to two digits
# accepted
def used_share(addresses, size):
    read = {address + offset for address in addresses for offset in range(size)}
    return round(len(read) / (32 * len({byte // 32 for byte in read})), 2)


# %% Exercise 2: counts warps
# says: are warps
def resident_blocks(registers, shared):
    return 65536 // (math.ceil(registers * 32 / 256) * 256)


# %% Exercise 2: registers are not rounded up
# says: units of 256
def resident_blocks(registers, shared):
    return min(65536 // (128 * registers), 1536 // 128, 16, 167936 // (shared + 1024))


# %% Exercise 2: forgets the threads
# says: 1,536 threads already
def resident_blocks(registers, shared):
    return min(65536 // (4 * math.ceil(registers * 32 / 256) * 256), 16, 167936 // (shared + 1024))


# %% Exercise 2: registers and threads alone
# says: shared memory is a limit
def resident_blocks(registers, shared):
    return min(65536 // (4 * math.ceil(registers * 32 / 256) * 256), 12, 16)


# %% Exercise 2: forgets what a block costs beside its own
# says: 1,024 shared bytes
def resident_blocks(registers, shared):
    return min(65536 // (4 * math.ceil(registers * 32 / 256) * 256), 12, 16, 167936 // max(shared, 1))


# %% Exercise 2: does not round down
# says: must return an? int
def resident_blocks(registers, shared):
    return min(65536 / (4 * math.ceil(registers * 32 / 256) * 256), 12, 16, 167936 / (shared + 1024))


# %% Exercise 2: adds the limits' blocks up where the scarcest decides
# says: 8 fit
def resident_blocks(registers, shared):
    return max(65536 // (4 * math.ceil(registers * 32 / 256) * 256), 1536 // 128)


# %% Exercise 2: rounds each limit up
# says: a tenth does not fit
def resident_blocks(registers, shared):
    of_block = 4 * math.ceil(registers * 32 / 256) * 256
    return min(math.ceil(65536 / of_block), 12, math.ceil(167936 / (shared + 1024)))


# %% Exercise 2: rounds the registers of a thread up to eight
# accepted
def resident_blocks(registers, shared):
    return min(65536 // (128 * math.ceil(registers / 8) * 8), 12, np.int64(167936 // (shared + 1024)))


# %% Exercise 3: looks at the first creator of the name
# says: not at the first
def what_differs(node, creators):
    if not creators:
        return "library"
    named = [creator for creator in creators if creator[0] == node["op_type"]]
    if not named:
        return "name"
    if named[0][1] != node.get("plugin_version", "1"):
        return "version"
    return "found" if named[0][2] == node.get("plugin_namespace", "") else "namespace"


# %% Exercise 3: name, version and namespace of different creators
# says: met by two different creators
def what_differs(node, creators):
    if not creators:
        return "library"
    named = [creator for creator in creators if creator[0] == node["op_type"]]
    if not named:
        return "name"
    if node.get("plugin_version", "1") not in [creator[1] for creator in named]:
        return "version"
    return "found" if node.get("plugin_namespace", "") in [creator[2] for creator in named] else "namespace"


# %% Exercise 3: a node must say its version
# says: plugin_version
def what_differs(node, creators):
    for position, what in enumerate(("op_type", "plugin_version", "plugin_namespace")):
        creators = [creator for creator in creators if creator[position] == node[what]]
        if not creators:
            return "library" if position == 0 else what.removeprefix("plugin_")
    return "found"


# %% Exercise 3: versions are numbers
# says: asks for '1'
def what_differs(node, creators):
    if not creators:
        return "library"
    wanted = node["op_type"], node.get("plugin_version", 1), node.get("plugin_namespace", "")
    for position, what in enumerate(("name", "version", "namespace")):
        creators = [creator for creator in creators if creator[position] == wanted[position]]
        if not creators:
            return what
    return "found"


# %% Exercise 3: a name that begins alike
# says: another name
def what_differs(node, creators):
    if not creators:
        return "library"
    creators = [creator for creator in creators if node["op_type"].startswith(creator[0])]
    if not creators:
        return "name"
    creators = [creator for creator in creators if creator[1] == node.get("plugin_version", "1")]
    if not creators:
        return "version"
    return "found" if node.get("plugin_namespace", "") in [creator[2] for creator in creators] else "namespace"


# %% Exercise 3: no library is no name
# says: no library is loaded
def what_differs(node, creators):
    wanted = node["op_type"], node.get("plugin_version", "1"), node.get("plugin_namespace", "")
    for position, what in enumerate(("name", "version", "namespace")):
        creators = [creator for creator in creators if creator[position] == wanted[position]]
        if not creators:
            return what
    return "found"


# %% Exercise 3: the namespace does not count
# says: expected 'namespace'
def what_differs(node, creators):
    if not creators:
        return "library"
    wanted = node["op_type"], node.get("plugin_version", "1")
    for position, what in enumerate(("name", "version")):
        creators = [creator for creator in creators if creator[position] == wanted[position]]
        if not creators:
            return what
    return "found"


# %% Exercise 3: only creators without a namespace
# says: namespace of the node counts
def what_differs(node, creators):
    if not creators:
        return "library"
    wanted = node["op_type"], node.get("plugin_version", "1"), ""
    for position, what in enumerate(("name", "version", "namespace")):
        creators = [creator for creator in creators if creator[position] == wanted[position]]
        if not creators:
            return what
    return "found"


# %% Exercise 3: a part of a name
# says: another name than Pool:
def what_differs(node, creators):
    if not creators:
        return "library"
    named = [creator for creator in creators if node["op_type"] in creator[0]]
    if not named:
        return "name"
    versions = [creator for creator in named if creator[1] == node.get("plugin_version", "1")]
    if not versions:
        return "version"
    return "found" if any(node.get("plugin_namespace", "") == creator[2] for creator in versions) else "namespace"


# %% Exercise 3: capitals do not count
# says: another name than pooltrt
def what_differs(node, creators):
    if not creators:
        return "library"
    named = [creator for creator in creators if node["op_type"].lower() == creator[0].lower()]
    if not named:
        return "name"
    versions = [creator for creator in named if creator[1] == node.get("plugin_version", "1")]
    if not versions:
        return "version"
    return "found" if any(node.get("plugin_namespace", "") == creator[2] for creator in versions) else "namespace"


# %% Exercise 3: versions are numbers with a fraction
# says: the text 2\.0
def what_differs(node, creators):
    if not creators:
        return "library"
    named = [creator for creator in creators if node["op_type"] == creator[0]]
    if not named:
        return "name"
    versions = [creator for creator in named if float(creator[1]) == float(node.get("plugin_version", 1))]
    if not versions:
        return "version"
    return "found" if any(node.get("plugin_namespace", "") == creator[2] for creator in versions) else "namespace"


# %% Exercise 3: narrows the given list down in place
# accepted
def what_differs(node, creators):
    if not creators:
        return "library"
    wanted = {"name": node["op_type"], "version": node.get("plugin_version", "1")}
    for position, (what, text) in enumerate((wanted | {"namespace": node.get("plugin_namespace", "")}).items()):
        creators[:] = [creator for creator in creators if creator[position] == text]
        if not creators:
            return what
    return "found"


# %% Exercise 4: types and shapes exchanged
# says: the types and the shapes are exchanged
def heirs():
    return {
        "getPluginType": "getPluginName",
        "getOutputDataType": "getOutputShapes",
        "getOutputDimensions": "getOutputDataTypes",
        "serialize": "getFieldsToSerialize",
        "initialize": "onShapeChange",
    }


# %% Exercise 4: leaves the type of the plugin as it is
# says: getPluginType: 'getPluginType' is no method of the ported plugin
def heirs():
    return {
        "getPluginType": "getPluginType",
        "getOutputDataType": "getOutputDataTypes",
        "getOutputDimensions": "getOutputShapes",
        "serialize": "getFieldsToSerialize",
        "initialize": "onShapeChange",
    }


# %% Exercise 4: set-up in a method that 8.6 has too
# says: initialize: the 8\.6 plugin has configurePlugin too
def heirs():
    return {
        "getPluginType": "getPluginName",
        "getOutputDataType": "getOutputDataTypes",
        "getOutputDimensions": "getOutputShapes",
        "serialize": "getFieldsToSerialize",
        "initialize": "configurePlugin",
    }


# %% Exercise 4: set-up where capabilities are asked for
# says: set-up happens when shapes are known
def heirs():
    return {
        "getPluginType": "getPluginName",
        "getOutputDataType": "getOutputDataTypes",
        "getOutputDimensions": "getOutputShapes",
        "serialize": "getFieldsToSerialize",
        "initialize": "getCapabilityInterface",
    }


# %% Exercise 4: the other way round
# says: the keys are the five names
def heirs():
    return {
        "getPluginName": "getPluginType",
        "getOutputDataTypes": "getOutputDataType",
        "getOutputShapes": "getOutputDimensions",
        "getFieldsToSerialize": "serialize",
        "onShapeChange": "initialize",
    }


# %% Exercise 4: with brackets
# says: without brackets
def heirs():
    return {
        "getPluginType": "getPluginName()",
        "getOutputDataType": "getOutputDataTypes()",
        "getOutputDimensions": "getOutputShapes()",
        "serialize": "getFieldsToSerialize()",
        "initialize": "onShapeChange()",
    }


# %% Exercise 4: serialize becomes attachToContext
# says: bytes became named fields
def heirs():
    return {
        "getPluginType": "getPluginName",
        "getOutputDataType": "getOutputDataTypes",
        "getOutputDimensions": "getOutputShapes",
        "serialize": "attachToContext",
        "initialize": "onShapeChange",
    }


# %% Exercise 4: the other heir of initialize
# accepted
def heirs():
    return {
        "getPluginType": "getPluginName",
        "getOutputDataType": "getOutputDataTypes",
        "getOutputDimensions": "getOutputShapes",
        "serialize": "getFieldsToSerialize",
        "initialize": "attachToContext",
    }


# %% Project: neighboring threads take different rows
# says: neighboring threads, neighboring channels
def body():
    return """
    const int groups = s.channels / 8, row = index % s.rows, channel = index / s.rows * 8;
    half2 sum[4];
    for (int i = 0; i < 4; ++i) sum[i] = __float2half2_rn(0.0f);
    for (int k = first[row]; k < first[row + 1]; ++k) {
      const int d = ranks_depth[k], f = ranks_feat[k];
      if (d < 0 || d >= s.depths || f < 0 || f >= s.features) continue;
      const half2 weight = __half2half2(depth[d]);
      const Pack<half, 8> terms = load<8>(feat + f * s.channels + channel);
      for (int i = 0; i < 4; ++i)
        sum[i] = __hfma2(weight, __halves2half2(terms.item[2 * i], terms.item[2 * i + 1]), sum[i]);
    }
    Pack<half, 8> result;
    for (int i = 0; i < 4; ++i) {
      result.item[2 * i] = __low2half(sum[i]);
      result.item[2 * i + 1] = __high2half(sum[i]);
    }
    store(output + row * s.channels + channel, result);"""


# %% Project: a row without points is not written
# says: a row without points must be written
def body():
    return """
    const int groups = s.channels / 8, row = index / groups, channel = index % groups * 8;
    half2 sum[4];
    if (first[row] == first[row + 1]) return;
    for (int i = 0; i < 4; ++i) sum[i] = __float2half2_rn(0.0f);
    for (int k = first[row]; k < first[row + 1]; ++k) {
      const int d = ranks_depth[k], f = ranks_feat[k];
      if (d < 0 || d >= s.depths || f < 0 || f >= s.features) continue;
      const half2 weight = __half2half2(depth[d]);
      const Pack<half, 8> terms = load<8>(feat + f * s.channels + channel);
      for (int i = 0; i < 4; ++i)
        sum[i] = __hfma2(weight, __halves2half2(terms.item[2 * i], terms.item[2 * i + 1]), sum[i]);
    }
    Pack<half, 8> result;
    for (int i = 0; i < 4; ++i) {
      result.item[2 * i] = __low2half(sum[i]);
      result.item[2 * i + 1] = __high2half(sum[i]);
    }
    store(output + row * s.channels + channel, result);"""


# %% Project: trusts the ranks
# says: outside of s\.depths adds nothing
def body():
    return """
    const int groups = s.channels / 8, row = index / groups, channel = index % groups * 8;
    half2 sum[4];
    for (int i = 0; i < 4; ++i) sum[i] = __float2half2_rn(0.0f);
    for (int k = first[row]; k < first[row + 1]; ++k) {
      const int d = ranks_depth[k], f = ranks_feat[k];
      const half2 weight = __half2half2(depth[d]);
      const Pack<half, 8> terms = load<8>(feat + f * s.channels + channel);
      for (int i = 0; i < 4; ++i)
        sum[i] = __hfma2(weight, __halves2half2(terms.item[2 * i], terms.item[2 * i + 1]), sum[i]);
    }
    Pack<half, 8> result;
    for (int i = 0; i < 4; ++i) {
      result.item[2 * i] = __low2half(sum[i]);
      result.item[2 * i + 1] = __high2half(sum[i]);
    }
    store(output + row * s.channels + channel, result);"""


# %% Project: one rank beyond the features passes
# says: outside of s\.features adds nothing
def body():
    return """
    const int groups = s.channels / 8, row = index / groups, channel = index % groups * 8;
    half2 sum[4];
    for (int i = 0; i < 4; ++i) sum[i] = __float2half2_rn(0.0f);
    for (int k = first[row]; k < first[row + 1]; ++k) {
      const int d = ranks_depth[k], f = ranks_feat[k];
      if (d < 0 || d >= s.depths || f < 0 || f > s.features) continue;
      const half2 weight = __half2half2(depth[d]);
      const Pack<half, 8> terms = load<8>(feat + f * s.channels + channel);
      for (int i = 0; i < 4; ++i)
        sum[i] = __hfma2(weight, __halves2half2(terms.item[2 * i], terms.item[2 * i + 1]), sum[i]);
    }
    Pack<half, 8> result;
    for (int i = 0; i < 4; ++i) {
      result.item[2 * i] = __low2half(sum[i]);
      result.item[2 * i + 1] = __high2half(sum[i]);
    }
    store(output + row * s.channels + channel, result);"""


# %% Project: negative depths pass
# says: outside of s\.depths adds nothing
def body():
    return """
    const int groups = s.channels / 8, row = index / groups, channel = index % groups * 8;
    half2 sum[4];
    for (int i = 0; i < 4; ++i) sum[i] = __float2half2_rn(0.0f);
    for (int k = first[row]; k < first[row + 1]; ++k) {
      const int d = ranks_depth[k], f = ranks_feat[k];
      if (d >= s.depths || f < 0 || f >= s.features) continue;
      const half2 weight = __half2half2(depth[d]);
      const Pack<half, 8> terms = load<8>(feat + f * s.channels + channel);
      for (int i = 0; i < 4; ++i)
        sum[i] = __hfma2(weight, __halves2half2(terms.item[2 * i], terms.item[2 * i + 1]), sum[i]);
    }
    Pack<half, 8> result;
    for (int i = 0; i < 4; ++i) {
      result.item[2 * i] = __low2half(sum[i]);
      result.item[2 * i + 1] = __high2half(sum[i]);
    }
    store(output + row * s.channels + channel, result);"""


# %% Project: the halves of each pair are exchanged
# says: low comes first
def body():
    return """
    const int groups = s.channels / 8, row = index / groups, channel = index % groups * 8;
    half2 sum[4];
    for (int i = 0; i < 4; ++i) sum[i] = __float2half2_rn(0.0f);
    for (int k = first[row]; k < first[row + 1]; ++k) {
      const int d = ranks_depth[k], f = ranks_feat[k];
      if (d < 0 || d >= s.depths || f < 0 || f >= s.features) continue;
      const half2 weight = __half2half2(depth[d]);
      const Pack<half, 8> terms = load<8>(feat + f * s.channels + channel);
      for (int i = 0; i < 4; ++i)
        sum[i] = __hfma2(weight, __halves2half2(terms.item[2 * i], terms.item[2 * i + 1]), sum[i]);
    }
    Pack<half, 8> result;
    for (int i = 0; i < 4; ++i) {
      result.item[2 * i] = __high2half(sum[i]);
      result.item[2 * i + 1] = __low2half(sum[i]);
    }
    store(output + row * s.channels + channel, result);"""


# %% Project: does not compile
# says: does not compile.*undeclared_name|does not compile.*not declared
def body():
    return """
    const int groups = s.channels / 8, row = index / groups, channel = index % groups * 8;
    half2 total[4];
    for (int i = 0; i < 4; ++i) sum[i] = __float2half2_rn(0.0f);
    for (int k = first[row]; k < first[row + 1]; ++k) {
      const int d = ranks_depth[k], f = ranks_feat[k];
      if (d < 0 || d >= s.depths || f < 0 || f >= s.features) continue;
      const half2 weight = __half2half2(depth[d]);
      const Pack<half, 8> terms = load<8>(feat + f * s.channels + channel);
      for (int i = 0; i < 4; ++i)
        sum[i] = __hfma2(weight, __halves2half2(terms.item[2 * i], terms.item[2 * i + 1]), sum[i]);
    }
    Pack<half, 8> result;
    for (int i = 0; i < 4; ++i) {
      result.item[2 * i] = __low2half(sum[i]);
      result.item[2 * i + 1] = __high2half(sum[i]);
    }
    store(output + row * s.channels + channel, result);"""


# %% Project: forgets the last point of a row
# says: which points
def body():
    return """
    const int groups = s.channels / 8, row = index / groups, channel = index % groups * 8;
    half2 sum[4];
    for (int i = 0; i < 4; ++i) sum[i] = __float2half2_rn(0.0f);
    for (int k = first[row]; k + 1 < first[row + 1]; ++k) {
      const int d = ranks_depth[k], f = ranks_feat[k];
      if (d < 0 || d >= s.depths || f < 0 || f >= s.features) continue;
      const half2 weight = __half2half2(depth[d]);
      const Pack<half, 8> terms = load<8>(feat + f * s.channels + channel);
      for (int i = 0; i < 4; ++i)
        sum[i] = __hfma2(weight, __halves2half2(terms.item[2 * i], terms.item[2 * i + 1]), sum[i]);
    }
    Pack<half, 8> result;
    for (int i = 0; i < 4; ++i) {
      result.item[2 * i] = __low2half(sum[i]);
      result.item[2 * i + 1] = __high2half(sum[i]);
    }
    store(output + row * s.channels + channel, result);"""


# %% Project: writes half of the channels
# says: some numbers are not written
def body():
    return """
    const int groups = s.channels / 8, row = index / groups, channel = index % groups * 8;
    half2 sum[4];
    for (int i = 0; i < 4; ++i) sum[i] = __float2half2_rn(0.0f);
    for (int k = first[row]; k < first[row + 1]; ++k) {
      const int d = ranks_depth[k], f = ranks_feat[k];
      if (d < 0 || d >= s.depths || f < 0 || f >= s.features) continue;
      const half2 weight = __half2half2(depth[d]);
      const Pack<half, 8> terms = load<8>(feat + f * s.channels + channel);
      for (int i = 0; i < 4; ++i)
        sum[i] = __hfma2(weight, __halves2half2(terms.item[2 * i], terms.item[2 * i + 1]), sum[i]);
    }
    Pack<half, 8> result;
    for (int i = 0; i < 4; ++i) {
      result.item[2 * i] = __low2half(sum[i]);
      result.item[2 * i + 1] = __high2half(sum[i]);
    }
    for (int i = 0; i < 4; ++i) output[row * s.channels + channel + i] = result.item[i];  // store(load<8>)"""


# %% Project: writes outside of the output
# says: outside of the tensors
def body():
    return """
    const int groups = s.channels / 8, row = index / groups, channel = index % groups * 8;
    half2 sum[4];
    for (int i = 0; i < 4; ++i) sum[i] = __float2half2_rn(0.0f);
    for (int k = first[row]; k < first[row + 1]; ++k) {
      const int d = ranks_depth[k], f = ranks_feat[k];
      if (d < 0 || d >= s.depths || f < 0 || f >= s.features) continue;
      const half2 weight = __half2half2(depth[d]);
      const Pack<half, 8> terms = load<8>(feat + f * s.channels + channel);
      for (int i = 0; i < 4; ++i)
        sum[i] = __hfma2(weight, __halves2half2(terms.item[2 * i], terms.item[2 * i + 1]), sum[i]);
    }
    Pack<half, 8> result;
    for (int i = 0; i < 4; ++i) {
      result.item[2 * i] = __low2half(sum[i]);
      result.item[2 * i + 1] = __high2half(sum[i]);
    }
    store(output + (1ll << 40) + row * s.channels + channel, result);"""


# %% Project: never stops
# says: does not stop
def body():
    return """
    const int groups = s.channels / 8, row = index / groups, channel = index % groups * 8;
    half2 sum[4];
    for (int i = 0; i < 4; ++i) sum[i] = __float2half2_rn(0.0f);
    for (int k = first[row]; k < first[row + 1]; k += *static_cast<const volatile int*>(first)) {
      const int d = ranks_depth[k], f = ranks_feat[k];
      if (d < 0 || d >= s.depths || f < 0 || f >= s.features) continue;
      const half2 weight = __half2half2(depth[d]);
      const Pack<half, 8> terms = load<8>(feat + f * s.channels + channel);
      for (int i = 0; i < 4; ++i)
        sum[i] = __hfma2(weight, __halves2half2(terms.item[2 * i], terms.item[2 * i + 1]), sum[i]);
    }
    Pack<half, 8> result;
    for (int i = 0; i < 4; ++i) {
      result.item[2 * i] = __low2half(sum[i]);
      result.item[2 * i + 1] = __high2half(sum[i]);
    }
    store(output + row * s.channels + channel, result);"""


# %% Project: writes nothing
# says: writes nothing
def body():
    return """
    const int groups = s.channels / 8, row = index / groups, channel = index % groups * 8;
    half2 sum[4];
    for (int i = 0; i < 4; ++i) sum[i] = __float2half2_rn(0.0f);
    for (int k = first[row]; k < first[row + 1]; ++k) {
      const int d = ranks_depth[k], f = ranks_feat[k];
      if (d < 0 || d >= s.depths || f < 0 || f >= s.features) continue;
      const half2 weight = __half2half2(depth[d]);
      const Pack<half, 8> terms = load<8>(feat + f * s.channels + channel);
      for (int i = 0; i < 4; ++i)
        sum[i] = __hfma2(weight, __halves2half2(terms.item[2 * i], terms.item[2 * i + 1]), sum[i]);
    }
    Pack<half, 8> result;
    for (int i = 0; i < 4; ++i) {
      result.item[2 * i] = __low2half(sum[i]);
      result.item[2 * i + 1] = __high2half(sum[i]);
    }
"""


# %% Project: one half at a time
# says: load<8>
def body():
    return """
    const int groups = s.channels / 8, row = index / groups, channel = index % groups * 8;
    for (int i = channel; i < channel + 8; ++i) {
      float sum = 0.0f;
      for (int k = first[row]; k < first[row + 1]; ++k) {
        const int d = ranks_depth[k], f = ranks_feat[k];
        if (d >= 0 && d < s.depths && f >= 0 && f < s.features)
          sum += to_float(depth[d]) * to_float(feat[f * s.channels + i]);
      }
      from_float(sum, output[row * s.channels + i]);
    }"""


# %% Project: wide accesses, but sums of single numbers
# says: __hfma2 multiplies and adds two
def body():
    return """
    const int groups = s.channels / 8, row = index / groups, channel = index % groups * 8;
    float sum[8] = {};
    for (int k = first[row]; k < first[row + 1]; ++k) {
      const int d = ranks_depth[k], f = ranks_feat[k];
      if (d < 0 || d >= s.depths || f < 0 || f >= s.features) continue;
      const Pack<half, 8> terms = load<8>(feat + f * s.channels + channel);
      for (int i = 0; i < 8; ++i) sum[i] += to_float(depth[d]) * to_float(terms.item[i]);
    }
    Pack<half, 8> result;
    for (int i = 0; i < 8; ++i) from_float(sum[i], result.item[i]);
    store(output + row * s.channels + channel, result);"""


# %% Project: ends a row at its first wrong rank
# says: the points after it do
def body():
    return """
    const int groups = s.channels / 8, row = index / groups, channel = index % groups * 8;
    half2 sum[4];
    for (int i = 0; i < 4; ++i) sum[i] = __float2half2_rn(0.0f);
    for (int k = first[row]; k < first[row + 1]; ++k) {
      const int d = ranks_depth[k], f = ranks_feat[k];
      if (d < 0 || d >= s.depths || f < 0 || f >= s.features) break;
      const half2 weight = __half2half2(depth[d]);
      const Pack<half, 8> terms = load<8>(feat + f * s.channels + channel);
      for (int i = 0; i < 4; ++i)
        sum[i] = __hfma2(weight, __halves2half2(terms.item[2 * i], terms.item[2 * i + 1]), sum[i]);
    }
    Pack<half, 8> result;
    for (int i = 0; i < 4; ++i) {
      result.item[2 * i] = __low2half(sum[i]);
      result.item[2 * i + 1] = __high2half(sum[i]);
    }
    store(output + row * s.channels + channel, result);"""


# %% Project: takes rows of 24 channels
# says: with 16 channels
def body():
    return """
    const int groups = 24 / 8, row = index / groups, channel = index % groups * 8;
    half2 sum[4];
    for (int i = 0; i < 4; ++i) sum[i] = __float2half2_rn(0.0f);
    for (int k = first[row]; k < first[row + 1]; ++k) {
      const int d = ranks_depth[k], f = ranks_feat[k];
      if (d < 0 || d >= s.depths || f < 0 || f >= s.features) continue;
      const half2 weight = __half2half2(depth[d]);
      const Pack<half, 8> terms = load<8>(feat + f * 24 + channel);
      for (int i = 0; i < 4; ++i)
        sum[i] = __hfma2(weight, __halves2half2(terms.item[2 * i], terms.item[2 * i + 1]), sum[i]);
    }
    Pack<half, 8> result;
    for (int i = 0; i < 4; ++i) {
      result.item[2 * i] = __low2half(sum[i]);
      result.item[2 * i + 1] = __high2half(sum[i]);
    }
    store(output + row * 24 + channel, result);"""


# %% Project: names the wide access in a comment, and reads one half at a time
# says: eight halves in one access
def body():
    return """
    const int groups = s.channels / 8, row = index / groups, channel = index % groups * 8;
    half2 sum[4];
    for (int i = 0; i < 4; ++i) sum[i] = __float2half2_rn(0.0f);
    for (int k = first[row]; k < first[row + 1]; ++k) {
      const int d = ranks_depth[k], f = ranks_feat[k];
      if (d < 0 || d >= s.depths || f < 0 || f >= s.features) continue;
      const half2 weight = __half2half2(depth[d]);
      Pack<half, 8> terms;  // not by load<8>
      for (int i = 0; i < 8; ++i) terms.item[i] = feat[f * s.channels + channel + i];
      for (int i = 0; i < 4; ++i)
        sum[i] = __hfma2(weight, __halves2half2(terms.item[2 * i], terms.item[2 * i + 1]), sum[i]);
    }
    Pack<half, 8> result;
    for (int i = 0; i < 4; ++i) {
      result.item[2 * i] = __low2half(sum[i]);
      result.item[2 * i + 1] = __high2half(sum[i]);
    }
    store(output + row * s.channels + channel, result);"""


# %% Project: writes one half at a time
# says: eight halves in one access
def body():
    return """
    const int groups = s.channels / 8, row = index / groups, channel = index % groups * 8;
    half2 sum[4];
    for (int i = 0; i < 4; ++i) sum[i] = __float2half2_rn(0.0f);
    for (int k = first[row]; k < first[row + 1]; ++k) {
      const int d = ranks_depth[k], f = ranks_feat[k];
      if (d < 0 || d >= s.depths || f < 0 || f >= s.features) continue;
      const half2 weight = __half2half2(depth[d]);
      const Pack<half, 8> terms = load<8>(feat + f * s.channels + channel);
      for (int i = 0; i < 4; ++i)
        sum[i] = __hfma2(weight, __halves2half2(terms.item[2 * i], terms.item[2 * i + 1]), sum[i]);
    }
    Pack<half, 8> result;
    for (int i = 0; i < 4; ++i) {
      result.item[2 * i] = __low2half(sum[i]);
      result.item[2 * i + 1] = __high2half(sum[i]);
    }
    // not by store(...)
    for (int i = 0; i < 8; ++i) output[row * s.channels + channel + i] = result.item[i];"""


# %% Project: operators of pairs, and a constant as the width
# accepted
def body():
    return """
    constexpr int kWide = 8;
    const int groups = s.channels / 8, row = index / groups, channel = index % groups * 8;
    half2 sum[4];
    for (int i = 0; i < 4; ++i) sum[i] = __float2half2_rn(0.0f);
    for (int k = first[row]; k < first[row + 1]; ++k) {
      const int d = ranks_depth[k], f = ranks_feat[k];
      if (d < 0 || d >= s.depths || f < 0 || f >= s.features) continue;
      const half2 weight = __half2half2(depth[d]);
      const Pack<half, 8> terms = load<kWide>(feat + f * s.channels + channel);
      for (int i = 0; i < 4; ++i)
        sum[i] += weight * __halves2half2(terms.item[2 * i], terms.item[2 * i + 1]);
    }
    Pack<half, 8> result;
    for (int i = 0; i < 4; ++i) {
      result.item[2 * i] = __low2half(sum[i]);
      result.item[2 * i + 1] = __high2half(sum[i]);
    }
    store(output + row * s.channels + channel, result);"""


# %% Project: a weight of zero for what lies outside
# accepted
def body():
    return """
    const int groups = s.channels / 8, row = index / groups, channel = index % groups * 8;
    half2 sum[4];
    for (int i = 0; i < 4; ++i) sum[i] = __float2half2_rn(0.0f);
    for (int k = first[row]; k < first[row + 1]; ++k) {
      const int d = ranks_depth[k], f = ranks_feat[k];
      const bool there = d >= 0 && d < s.depths && f >= 0 && f < s.features;
      const half2 weight = __half2half2(there ? depth[d] : __float2half(0.0f));
      const Pack<half, 8> terms = load<8>(feat + (there ? f : 0) * s.channels + channel);
      for (int i = 0; i < 4; ++i)
        sum[i] = __hfma2(weight, __halves2half2(terms.item[2 * i], terms.item[2 * i + 1]), sum[i]);
    }
    Pack<half, 8> result;
    for (int i = 0; i < 4; ++i) {
      result.item[2 * i] = __low2half(sum[i]);
      result.item[2 * i + 1] = __high2half(sum[i]);
    }
    store(output + row * s.channels + channel, result);"""
