/* A stand-in for the driver's libnvidia-ml.so.1, with the devices of the table in DEVICES (built by tests/fake_nvml.py).
 * It answers as NVIDIA documents the calls: 0 success, 2 a wrong argument, 3 not supported, 6 not found, 15 lost. */
#include <string.h>

struct mig { const char *uuid, *name; unsigned long long memory; };
struct device { const char *uuid, *name; unsigned long long memory; unsigned migs; struct mig mig[4]; };
struct memory { unsigned long long total, free, used; };

static struct device devices[] = {DEVICES};
static const unsigned count = sizeof devices / sizeof devices[0];

static int is_device(void *handle) {
  return (char *)handle >= (char *)devices && (struct device *)handle < devices + count
         && ((char *)handle - (char *)devices) % sizeof devices[0] == 0;
}
static struct mig *find_mig(void *handle) {
  for (unsigned i = 0; i < count; i++)
    for (unsigned j = 0; j < devices[i].migs; j++)
      if (handle == &devices[i].mig[j]) return handle;
  return 0;
}
static int text(const char *from, char *to, unsigned size) {
  if (strlen(from) >= size) return 7;
  strcpy(to, from);
  return 0;
}

int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlSystemGetDriverVersion(char *to, unsigned size) { return text("580.65.06", to, size); }
int nvmlDeviceGetCount_v2(unsigned *to) { *to = count; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **to) {
  if (index >= count) return 2;
  if (devices[index].memory == 0) return 15;
  *to = &devices[index];
  return 0;
}
int nvmlDeviceGetUUID(void *handle, char *to, unsigned size) {
  struct mig *mig = find_mig(handle);
  if (!mig && !is_device(handle)) return 2;
  return text(mig ? mig->uuid : ((struct device *)handle)->uuid, to, size);
}
int nvmlDeviceGetName(void *handle, char *to, unsigned size) {
  struct mig *mig = find_mig(handle);
  if (!mig && !is_device(handle)) return 2;
  return text(mig ? mig->name : ((struct device *)handle)->name, to, size);
}
int nvmlDeviceGetMemoryInfo(void *handle, struct memory *to) {
  struct mig *mig = find_mig(handle);
  if (!mig && !is_device(handle)) return 2;
  to->total = to->free = mig ? mig->memory : ((struct device *)handle)->memory;
  to->used = 0;
  return 0;
}
int nvmlDeviceGetCudaComputeCapability(void *handle, int *major, int *minor) {
  if (!is_device(handle)) return 2;
  *major = 9;
  *minor = 0;
  return 0;
}
int nvmlDeviceGetMigMode(void *handle, unsigned *current, unsigned *pending) {
  if (!is_device(handle)) return 2;
  if (((struct device *)handle)->migs == 0) return 3;
  *current = *pending = 1;
  return 0;
}
int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned *to) {
  if (!is_device(handle)) return 2;
  *to = 7;
  return 0;
}
int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned index, void **to) {
  if (!is_device(handle)) return 2;
  if (index >= ((struct device *)handle)->migs) return 6;
  *to = &((struct device *)handle)->mig[index];
  return 0;
}
