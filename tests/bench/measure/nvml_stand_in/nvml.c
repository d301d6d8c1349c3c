/* Stands in for NVIDIA's libnvidia-ml.so.1: one GPU, whose state is a text file of one name and its values a line.
 *
 * The file is $NVML_STAND_IN, read anew at every call, so that a test changes the GPU while others look at it. Lines:
 *   <number's name> N             temperature, graphics_mhz, memory_mhz, power_mw, limit_mw, busy, reasons, used, total
 *   process PID BYTES             a process with a compute context
 *   graphics PID                  one with a graphics context
 *   sample PID SHARE AGE_S        what a process used, in per cent, and how long ago that was seen
 *   error FUNCTION CODE           the function fails; FUNCTION * is any of them
 * Energy is the integral of the power since the system's start. Prototypes and codes: nvml.h of the CUDA toolkit.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SUCCESS 0
#define NOT_FOUND 6
#define INSUFFICIENT_SIZE 7
#define DRIVER_NOT_LOADED 9

typedef int Return;
typedef void *Device;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned gpu, memory; } Utilization;
typedef struct { unsigned pid; unsigned long long bytes; unsigned gpu_instance, compute_instance; } Process;
typedef struct { unsigned pid; unsigned long long stamp; unsigned sm, memory, encoder, decoder; } Sample;

static int gpu;

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

/* The number'th line of that name; 0 where there is none. */
static int line_of(const char *name, int number, char *values, size_t size) {
    const char *path = getenv("NVML_STAND_IN");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[256], key[64];
    int at, found = 0;
    if (!file) return 0;
    while (!found && fgets(line, sizeof line, file))
        if (sscanf(line, "%63s %n", key, &at) == 1 && !strcmp(key, name) && number-- == 0) {
            snprintf(values, size, "%s", line + at);
            found = 1;
        }
    fclose(file);
    return found;
}

static unsigned long long number_of(const char *name) {
    char values[256];
    return line_of(name, 0, values, sizeof values) ? strtoull(values, NULL, 10) : 0;
}

static Return fails(const char *function) {
    char values[256], name[64];
    int code;
    for (int number = 0; line_of("error", number, values, sizeof values); number++)
        if (sscanf(values, "%63s %d", name, &code) == 2 && (!strcmp(name, "*") || !strcmp(name, function)))
            return code;
    return getenv("NVML_STAND_IN") ? SUCCESS : DRIVER_NOT_LOADED;
}

#define MAY_FAIL do { Return code = fails(__func__); if (code) return code; } while (0)

const char *nvmlErrorString(Return code) { (void)code; return "an error of the stand-in"; }
Return nvmlInitWithFlags(unsigned flags) { (void)flags; MAY_FAIL; return SUCCESS; }
Return nvmlShutdown(void) { return SUCCESS; }
Return nvmlDeviceGetCount_v2(unsigned *count) { MAY_FAIL; *count = 1; return SUCCESS; }

Return nvmlDeviceGetHandleByIndex_v2(unsigned index, Device *device) {
    MAY_FAIL;
    *device = &gpu;
    return index == 0 ? SUCCESS : NOT_FOUND;
}

Return nvmlDeviceGetHandleByUUID(const char *uuid, Device *device) {
    MAY_FAIL;
    *device = &gpu;
    return !strcmp(uuid, "GPU-stand-in") ? SUCCESS : NOT_FOUND;
}

Return nvmlDeviceGetUUID(Device device, char *text, unsigned size) {
    (void)device;
    MAY_FAIL;
    snprintf(text, size, "GPU-stand-in");
    return SUCCESS;
}

Return nvmlDeviceGetName(Device device, char *text, unsigned size) {
    (void)device;
    MAY_FAIL;
    snprintf(text, size, "NVIDIA H200");
    return SUCCESS;
}

Return nvmlDeviceGetMemoryInfo(Device device, Memory *memory) {
    (void)device;
    MAY_FAIL;
    memory->total = number_of("total");
    memory->used = number_of("used");
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

#define ANSWERS(function, name)                                   \
    Return function(Device device, unsigned *answer) {            \
        (void)device;                                             \
        MAY_FAIL;                                                 \
        *answer = (unsigned)number_of(name);                      \
        return SUCCESS;                                           \
    }

ANSWERS(nvmlDeviceGetPowerUsage, "power_mw")
ANSWERS(nvmlDeviceGetEnforcedPowerLimit, "limit_mw")

Return nvmlDeviceGetTemperature(Device device, unsigned sensor, unsigned *celsius) {
    (void)device, (void)sensor;
    MAY_FAIL;
    *celsius = (unsigned)number_of("temperature");
    return SUCCESS;
}

Return nvmlDeviceGetClockInfo(Device device, unsigned domain, unsigned *mhz) {
    (void)device;
    MAY_FAIL;
    *mhz = (unsigned)number_of(domain == 2 ? "memory_mhz" : "graphics_mhz");
    return SUCCESS;
}

Return nvmlDeviceGetUtilizationRates(Device device, Utilization *share) {
    (void)device;
    MAY_FAIL;
    share->gpu = (unsigned)number_of("busy");
    share->memory = 0;
    return SUCCESS;
}

static Return reasons(unsigned long long *bits) { *bits = number_of("reasons"); return SUCCESS; }

Return nvmlDeviceGetCurrentClocksEventReasons(Device device, unsigned long long *bits) {
    (void)device;
    MAY_FAIL;
    return reasons(bits);
}

Return nvmlDeviceGetCurrentClocksThrottleReasons(Device device, unsigned long long *bits) {
    (void)device;
    MAY_FAIL;
    return reasons(bits);
}

Return nvmlDeviceGetTotalEnergyConsumption(Device device, unsigned long long *millijoules) {
    (void)device;
    MAY_FAIL;
    *millijoules = (unsigned long long)(seconds(CLOCK_MONOTONIC) * number_of("power_mw"));
    return SUCCESS;
}

static Return processes(const char *kind, unsigned *count, Process *found) {
    unsigned room = *count;
    char values[256];
    for (*count = 0; line_of(kind, (int)*count, values, sizeof values); ++*count)
        if (*count < room) {
            Process *process = found + *count;
            process->bytes = 0;
            sscanf(values, "%u %llu", &process->pid, &process->bytes);
        }
    return *count > room ? INSUFFICIENT_SIZE : SUCCESS;
}

Return nvmlDeviceGetComputeRunningProcesses_v3(Device device, unsigned *count, Process *found) {
    (void)device;
    MAY_FAIL;
    return processes("process", count, found);
}

Return nvmlDeviceGetGraphicsRunningProcesses_v3(Device device, unsigned *count, Process *found) {
    (void)device;
    MAY_FAIL;
    return processes("graphics", count, found);
}

/* As real drivers do, it asks for room for more samples than there are, and leaves the rest as it was. */
Return nvmlDeviceGetProcessUtilization(Device device, Sample *found, unsigned *count, unsigned long long since) {
    (void)device;
    char values[256];
    double age;
    unsigned filled = 0;
    MAY_FAIL;
    if (!line_of("sample", 0, values, sizeof values)) return NOT_FOUND;
    if (!found) {
        *count = 100;
        return INSUFFICIENT_SIZE;
    }
    for (int number = 0; line_of("sample", number, values, sizeof values); number++) {
        Sample *sample = found + filled;
        sscanf(values, "%u %u %lf", &sample->pid, &sample->sm, &age);
        sample->stamp = (unsigned long long)((seconds(CLOCK_REALTIME) - age) * 1e6);
        if (sample->stamp > since) filled++;
    }
    return SUCCESS;
}
