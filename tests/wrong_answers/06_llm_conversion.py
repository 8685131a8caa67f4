# %% Exercise 1: leaves the scale out
# says: scale alpha / r is missing
def merged(weight, a, b, alpha):
    return weight + b @ a


# %% Exercise 1: does not divide by the rank
# says: not divided by r
def merged(weight, a, b, alpha):
    return weight + alpha * b @ a


# %% Exercise 1: divides by the columns of A
# says: rows of A, not 6
def merged(weight, a, b, alpha):
    return weight + alpha / a.shape[1] * b @ a


# %% Exercise 1: the factors in the wrong order
# says: came back|shape
def merged(weight, a, b, alpha):
    return alpha / len(a) * a @ b


# %% Exercise 1: forgets the product
# says: nothing was added
def merged(weight, a, b, alpha):
    return weight.clone()


# %% Exercise 2: keeps keys alone
# says: keys and values
def cache_bytes(config, tokens, width):
    return config.num_hidden_layers * config.num_key_value_heads * config.head_dim * tokens * width


# %% Exercise 2: counts the query heads
# says: num_key_value_heads counts
def cache_bytes(config, tokens, width):
    return 2 * config.num_hidden_layers * config.num_attention_heads * config.head_dim * tokens * width


# %% Exercise 2: one layer
# says: one layer only
def cache_bytes(config, tokens, width):
    return 2 * config.num_key_value_heads * config.head_dim * tokens * width


# %% Exercise 2: numbers of two bytes, whatever is asked
# says: FP8 cache takes half
def cache_bytes(config, tokens, width):
    return 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * tokens * 2


# %% Exercise 2: forgets the dims of a head
# says: layers · heads · dims
def cache_bytes(config, tokens, width):
    return 2 * config.num_hidden_layers * config.num_key_value_heads * tokens * width


# %% Exercise 3: the clock's own time
# says: subtract start
def ttft_and_tpot(start, stamps):
    return 1000 * stamps[0], 1000 * (stamps[-1] - stamps[0]) / (len(stamps) - 1)


# %% Exercise 3: in seconds
# says: ms are asked for
def ttft_and_tpot(start, stamps):
    return stamps[0] - start, (stamps[-1] - stamps[0]) / (len(stamps) - 1)


# %% Exercise 3: the prompt in TPOT
# says: first token is in your TPOT
def ttft_and_tpot(start, stamps):
    return 1000 * (stamps[0] - start), 1000 * (stamps[-1] - start) / len(stamps)


# %% Exercise 3: as many gaps as stamps
# says: divide by n - 1
def ttft_and_tpot(start, stamps):
    return 1000 * (stamps[0] - start), 1000 * (stamps[-1] - stamps[0]) / len(stamps)


# %% Exercise 3: a median
# says: mean over all gaps
def ttft_and_tpot(start, stamps):
    return 1000 * (stamps[0] - start), float(1000 * np.median(np.diff(stamps)))


# %% Project: the even output in the high half
# says: low half of a byte is the even
def awq_weight(packed, scales, prequant):
    byte = packed.view(torch.uint8).to(torch.int16)
    codes = torch.stack([byte >> 4, byte & 15], 1).flatten(0, 1)
    codes = codes - 16 * (codes > 7)
    return codes.float() * scales.float().repeat_interleave(128, 1) * prequant.float()


# %% Project: codes without a sign
# says: four bits have a sign
def awq_weight(packed, scales, prequant):
    byte = packed.view(torch.uint8).to(torch.int16)
    codes = torch.stack([byte & 15, byte >> 4], 1).flatten(0, 1)
    return codes.float() * scales.float().repeat_interleave(128, 1) * prequant.float()


# %% Project: forgets prequant
# says: prequant belongs to each input
def awq_weight(packed, scales, prequant):
    byte = packed.view(torch.uint8).to(torch.int16)
    codes = torch.stack([byte & 15, byte >> 4], 1).flatten(0, 1)
    codes = codes - 16 * (codes > 7)
    return codes.float() * scales.float().repeat_interleave(128, 1)


# %% Project: divides by prequant
# says: do not divide
def awq_weight(packed, scales, prequant):
    byte = packed.view(torch.uint8).to(torch.int16)
    codes = torch.stack([byte & 15, byte >> 4], 1).flatten(0, 1)
    codes = codes - 16 * (codes > 7)
    return codes.float() * scales.float().repeat_interleave(128, 1) / prequant.float()


# %% Project: scales that take turns
# says: repeat_interleave
def awq_weight(packed, scales, prequant):
    byte = packed.view(torch.uint8).to(torch.int16)
    codes = torch.stack([byte & 15, byte >> 4], 1).flatten(0, 1)
    codes = codes - 16 * (codes > 7)
    return codes.float() * scales.float().repeat(1, 128) * prequant.float()


# %% Project: the halves one after the other
# says: order of rows
def awq_weight(packed, scales, prequant):
    byte = packed.view(torch.uint8).to(torch.int16)
    codes = torch.cat([byte & 15, byte >> 4])
    codes = codes - 16 * (codes > 7)
    return codes.float() * scales.float().repeat_interleave(128, 1) * prequant.float()
