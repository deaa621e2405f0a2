"""Floor 1, formats, kernels. What a calibrated fit computes: second moments, their factor, and codes with feedback.

Every product is a sum of fused multiply-adds in one fixed order, so rows, threads and machines do not change a bit.
"""
