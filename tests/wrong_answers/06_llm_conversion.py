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


# %% Exercise 1: returns the product alone
# says: weight is missing
def merged(weight, a, b, alpha):
    return alpha / len(a) * b @ a


# %% Exercise 1: takes the product away
# says: takes it away
def merged(weight, a, b, alpha):
    return weight - alpha / len(a) * b @ a


# %% Exercise 1: the fraction upside down
# says: yours is r / alpha
def merged(weight, a, b, alpha):
    return weight + len(a) / alpha * b @ a


# %% Exercise 1: rounds the scale down
# says: // rounds
def merged(weight, a, b, alpha):
    return weight + alpha // len(a) * b @ a


# %% Exercise 1: scales the weight too
# says: not to W
def merged(weight, a, b, alpha):
    return alpha / len(a) * (weight + b @ a)


# %% Exercise 1: the product transposed
# says: neither of them transposed
def merged(weight, a, b, alpha):
    return weight + alpha / len(a) * (b @ a).T


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
# says: here 8 and not 2
def cache_bytes(config, tokens, width):
    return 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * tokens * 2


# %% Exercise 2: forgets the dims of a head
# says: head_dim is missing
def cache_bytes(config, tokens, width):
    return 2 * config.num_hidden_layers * config.num_key_value_heads * tokens * width


# %% Exercise 2: bits
# says: bits, not bytes
def cache_bytes(config, tokens, width):
    return 8 * 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * tokens * width


# %% Exercise 2: forgets the width
# says: numbers, not bytes
def cache_bytes(config, tokens, width):
    return 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * tokens


# %% Exercise 2: one token
# says: one token only
def cache_bytes(config, tokens, width):
    return 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * width


# %% Exercise 2: the heads that share a key
# says: not the quotient
def cache_bytes(config, tokens, width):
    heads = config.num_attention_heads // config.num_key_value_heads
    return 2 * config.num_hidden_layers * heads * config.head_dim * tokens * width


# %% Exercise 2: keeps the queries in place of the keys
# says: only they are kept
def cache_bytes(config, tokens, width):
    heads = config.num_attention_heads + config.num_key_value_heads
    return config.num_hidden_layers * heads * config.head_dim * tokens * width


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


# %% Exercise 3: the two the other way round
# says: other way round
def ttft_and_tpot(start, stamps):
    return 1e3 * (stamps[-1] - stamps[0]) / (len(stamps) - 1), 1e3 * (stamps[0] - start)


# %% Exercise 3: tokens in a second
# says: number of tokens in a second
def ttft_and_tpot(start, stamps):
    return 1e3 * (stamps[0] - start), (len(stamps) - 1) / (stamps[-1] - stamps[0])


# %% Exercise 3: the sum of the gaps
# says: sum of all gaps
def ttft_and_tpot(start, stamps):
    return 1e3 * (stamps[0] - start), 1e3 * (stamps[-1] - stamps[0])


# %% Exercise 3: every gap by itself
# says: one number
def ttft_and_tpot(start, stamps):
    return 1e3 * (stamps[0] - start), 1e3 * np.diff(stamps)


# %% Exercise 3: a third number
# says: yours has 3
def ttft_and_tpot(start, stamps):
    return 1e3 * (stamps[0] - start), 1e3 * (stamps[-1] - stamps[0]) / (len(stamps) - 1), len(stamps)


# %% Exercise 3: TPOT in seconds
# says: TPOT is in seconds
def ttft_and_tpot(start, stamps):
    return 1e3 * (stamps[0] - start), (stamps[-1] - stamps[0]) / (len(stamps) - 1)


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
# says: rows take turns
def awq_weight(packed, scales, prequant):
    byte = packed.view(torch.uint8).to(torch.int16)
    codes = torch.cat([byte & 15, byte >> 4])
    codes = codes - 16 * (codes > 7)
    return codes.float() * scales.float().repeat_interleave(128, 1) * prequant.float()


# %% Project: codes shifted by 8
# says: not shifted by 8
def awq_weight(packed, scales, prequant):
    halves = packed.view(torch.uint8).int()
    codes = torch.stack([halves & 15, halves >> 4], 1).flatten(0, 1)
    codes = codes - 8
    return codes * scales.repeat_interleave(128, 1) * prequant


# %% Project: forgets the scales
# says: scales are missing
def awq_weight(packed, scales, prequant):
    halves = packed.view(torch.uint8).int()
    codes = torch.stack([halves & 15, halves >> 4], 1).flatten(0, 1)
    codes = torch.where(codes > 7, codes - 16, codes)
    return codes * prequant


# %% Project: in FP16
# says: FP32 is asked for
def awq_weight(packed, scales, prequant):
    halves = packed.view(torch.uint8).int()
    codes = torch.stack([halves & 15, halves >> 4], 1).flatten(0, 1)
    codes = torch.where(codes > 7, codes - 16, codes)
    return (codes * scales.repeat_interleave(128, 1) * prequant).half()


# %% Project: eight without a sign
# says: from -8 to 7
def awq_weight(packed, scales, prequant):
    halves = packed.view(torch.uint8).int()
    codes = torch.stack([halves & 15, halves >> 4], 1).flatten(0, 1)
    codes = torch.where(codes > 8, codes - 16, codes)
    return codes * scales.repeat_interleave(128, 1) * prequant
