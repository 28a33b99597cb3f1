"""The GPUs of this machine, found without torch and without a CUDA context. Knows no job."""
