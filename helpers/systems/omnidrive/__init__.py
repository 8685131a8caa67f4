"""OmniDrive (arXiv:2405.01533): boxes, lanes and vision tokens for a language model that plans, from six cameras."""
