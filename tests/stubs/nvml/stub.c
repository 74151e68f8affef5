/* A libnvidia-ml.so.1 that plays devices from a text file, for the real pynvml to load.
 *
 * $NVML_STUB_SCRIPT names the file, which is read again whenever it has changed: a test says what
 * the "driver" answers while it is being asked. Lines are KEY=VALUE; what has no line is not
 * supported, as on a GPU that does not have it. A value of !N makes the call return N. Keys:
 *
 *   error.FUNCTION        FUNCTION returns this, for all devices; error.* is for every function
 *   gpu.I.error.FUNCTION  the same for one device; gpu.I.error.* for every function
 *   hang.FUNCTION         FUNCTION does not return until the line is gone
 *   driver, cuda          versions
 *   gpu.I.uuid            makes device I exist; name, bus, minor, capability and so on describe it
 *   gpu.I.mig.J.uuid      makes slice J of device I exist
 *   gpu.I.field.N         field value N; ui: before it makes it 32 bits
 *   gpu.I.gpm.N           metric N of GPM; gpu.I.gi.G.gpm.N of GPU instance G
 *   event.N               "I XID": device I reports an error; N grows
 *   log                   a file to which each call is written, with its device
 *
 * With -DOLD_DRIVER it lacks what drivers of 2021 lack.
 */
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OK, UNINITIALIZED, INVALID, UNSUPPORTED, FORBIDDEN, NOT_FOUND = 6, TOO_SMALL, TIMEOUT = 10 };
enum { GPUS = 16, SLICES = 8, KEY = 96 };

typedef struct { char prefix[KEY], whole[KEY]; int gpu; } device_t;
typedef struct { char key[KEY], *value; } entry_t;

static device_t devices[GPUS][SLICES + 1];
static entry_t *entries;
static size_t count;
static char *text;
static struct stat seen;
static int users;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int compare(const void *a, const void *b)
{
    return strcmp(((const entry_t *)a)->key, ((const entry_t *)b)->key);
}

static void read_script(void)
{
    const char *path = getenv("NVML_STUB_SCRIPT");
    struct stat now;
    FILE *file;
    char *line, *rest;

    if (!path || stat(path, &now) ||
        (entries && now.st_ino == seen.st_ino && now.st_mtim.tv_nsec == seen.st_mtim.tv_nsec &&
         now.st_mtim.tv_sec == seen.st_mtim.tv_sec && now.st_size == seen.st_size))
        return;
    if (!(file = fopen(path, "r")))
        return;
    free(entries);
    free(text);
    text = calloc(1, now.st_size + 1);
    entries = calloc(now.st_size + 1, sizeof *entries);
    count = 0;
    text[fread(text, 1, now.st_size, file)] = 0;
    fclose(file);
    seen = now;
    for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *sign = strchr(line, '=');
        if (!sign || sign - line >= KEY)
            continue;
        memcpy(entries[count].key, line, sign - line);
        entries[count++].value = sign + 1;
    }
    qsort(entries, count, sizeof *entries, compare);
}

/* Copy the value of a key; 0 if there is none. */
static int find(char *out, size_t size, const char *prefix, const char *name)
{
    entry_t wanted, *found;

    snprintf(wanted.key, KEY, "%s%s%s", prefix, *prefix ? "." : "", name);
    pthread_mutex_lock(&lock);
    read_script();
    found = bsearch(&wanted, entries, count, sizeof *entries, compare);
    if (found)
        snprintf(out, size, "%s", found->value);
    pthread_mutex_unlock(&lock);
    return found != NULL;
}

static void write_log(const char *function, const char *prefix)
{
    char path[PATH_MAX];
    FILE *file;

    if (find(path, sizeof path, "", "log") && (file = fopen(path, "a"))) {
        fprintf(file, "%s %s\n", function, prefix);
        fclose(file);
    }
}

/* What every call begins with: whether it hangs, and whether it fails. */
static int enter(const char *function, const device_t *device)
{
    char value[64], key[KEY];
    const char *prefix = device ? device->prefix : "", *whole = device ? device->whole : "";

    if (!users)
        return UNINITIALIZED;
    write_log(function, prefix);
    snprintf(key, KEY, "hang.%s", function);
    while (find(value, sizeof value, "", key))
        usleep(10000);
    snprintf(key, KEY, "error.%s", function);
    if (find(value, sizeof value, "", key) || find(value, sizeof value, "", "error.*"))
        return atoi(value);
    if (device && (find(value, sizeof value, prefix, key) ||
                   find(value, sizeof value, prefix, "error.*") ||
                   find(value, sizeof value, whole, "error.*")))
        return atoi(value);
    return OK;
}

/* The value of one thing of a device, as text. */
static int answer(const char *function, const device_t *device, const char *name, char *out,
                  size_t size)
{
    int code = enter(function, device);

    if (code)
        return code;
    if (!find(out, size, device ? device->prefix : "", name))
        return UNSUPPORTED;
    return *out == '!' ? atoi(out + 1) : OK;
}

#define NUMBER(FUNCTION, TYPE, NAME)                                                               \
    int FUNCTION(device_t *device, TYPE *out)                                                      \
    {                                                                                              \
        char value[64];                                                                            \
        int code = answer(#FUNCTION, device, NAME, value, sizeof value);                           \
        if (!code)                                                                                 \
            *out = (TYPE)strtoull(value, NULL, 0);                                                 \
        return code;                                                                               \
    }

#define TEXT(FUNCTION, NAME)                                                                       \
    int FUNCTION(device_t *device, char *out, unsigned size)                                       \
    {                                                                                              \
        return answer(#FUNCTION, device, NAME, out, size);                                         \
    }

/* The library */

int nvmlInitWithFlags(unsigned flags)
{
    char value[64];

    (void)flags;
    users++;
    write_log("nvmlInitWithFlags", "");
    if (find(value, sizeof value, "", "error.nvmlInitWithFlags")) {
        users--;
        return atoi(value);
    }
    for (int i = 0; i < GPUS; i++)
        for (int j = 0; j <= SLICES; j++) {
            device_t *device = &devices[i][j];
            device->gpu = i;
            snprintf(device->whole, KEY, "gpu.%d", i);
            snprintf(device->prefix, KEY, j ? "gpu.%d.mig.%d" : "gpu.%d", i, j - 1);
        }
    return OK;
}

int nvmlShutdown(void)
{
    if (!users)
        return UNINITIALIZED;
    users--;
    write_log("nvmlShutdown", "");
    return OK;
}

const char *nvmlErrorString(int code)
{
    static char told[64];

    snprintf(told, sizeof told, "stub error %d", code);
    return told;
}

int nvmlSystemGetDriverVersion(char *out, unsigned size)
{
    return answer("nvmlSystemGetDriverVersion", NULL, "driver", out, size);
}

int nvmlSystemGetCudaDriverVersion(int *out)
{
    char value[64];
    int code = answer("nvmlSystemGetCudaDriverVersion", NULL, "cuda", value, sizeof value);

    *out = code ? 0 : atoi(value);
    return code;
}

/* Devices */

static int exists(const device_t *device)
{
    char value[128];
    return find(value, sizeof value, device->prefix, "uuid");
}

int nvmlDeviceGetCount_v2(unsigned *out)
{
    int code = enter("nvmlDeviceGetCount_v2", NULL);

    for (*out = 0; !code && *out < GPUS && exists(&devices[*out][0]);)
        ++*out;
    return code;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, device_t **out)
{
    int code;

    if (index >= GPUS || !exists(&devices[index][0]))
        return INVALID;
    *out = &devices[index][0];
    code = enter("nvmlDeviceGetHandleByIndex_v2", *out);
    return code;
}

int nvmlDeviceGetMaxMigDeviceCount(device_t *device, unsigned *out)
{
    *out = SLICES;
    return enter("nvmlDeviceGetMaxMigDeviceCount", device);
}

int nvmlDeviceGetMigDeviceHandleByIndex(device_t *device, unsigned index, device_t **out)
{
    int code = enter("nvmlDeviceGetMigDeviceHandleByIndex", device);

    if (code)
        return code;
    if (index >= SLICES || !exists(&devices[device->gpu][index + 1]))
        return NOT_FOUND;
    *out = &devices[device->gpu][index + 1];
    return enter("nvmlDeviceGetMigDeviceHandleByIndex", *out);
}

int nvmlDeviceGetMigMode(device_t *device, unsigned *now, unsigned *pending)
{
    char value[64];
    int code = answer("nvmlDeviceGetMigMode", device, "mig_mode", value, sizeof value);

    if (!code)
        *now = *pending = atoi(value);
    return code;
}

TEXT(nvmlDeviceGetUUID, "uuid")
TEXT(nvmlDeviceGetName, "name")
NUMBER(nvmlDeviceGetMinorNumber, unsigned, "minor")
NUMBER(nvmlDeviceGetGpuInstanceId, unsigned, "instance")
NUMBER(nvmlDeviceGetComputeInstanceId, unsigned, "compute_instance")

typedef struct {
    char legacy[16];
    unsigned domain, bus, device, ids, subsystem;
    char bus_id[32];
} pci_t;

int nvmlDeviceGetPciInfo_v3(device_t *device, pci_t *out)
{
    memset(out, 0, sizeof *out);
    return answer("nvmlDeviceGetPciInfo_v3", device, "bus", out->bus_id, sizeof out->bus_id);
}

int nvmlDeviceGetCudaComputeCapability(device_t *device, int *major, int *minor)
{
    char value[64];
    int code = answer("nvmlDeviceGetCudaComputeCapability", device, "capability", value,
                      sizeof value);

    if (!code)
        sscanf(value, "%d.%d", major, minor);
    return code;
}

typedef struct {
    unsigned multiprocessors, copy, decoder, encoder, jpeg, ofa, gpu_slices, compute_slices;
    unsigned long long memory_mb;
} attributes_t;

int nvmlDeviceGetAttributes_v2(device_t *device, attributes_t *out)
{
    char value[64];
    int code = answer("nvmlDeviceGetAttributes_v2", device, "attributes", value, sizeof value);

    memset(out, 0, sizeof *out);
    if (!code)
        sscanf(value, "%u %u %u %llu", &out->multiprocessors, &out->gpu_slices,
               &out->compute_slices, &out->memory_mb);
    return code;
}

/* Readings */

typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory2_t;

static int find_memory(const char *function, device_t *device, memory2_t *out)
{
    char value[128];
    int code = answer(function, device, "memory", value, sizeof value);

    if (!code && sscanf(value, "%llu %llu %llu", &out->used, &out->reserved, &out->total) != 3)
        code = UNSUPPORTED;
    out->free = out->total - out->used - out->reserved;
    return code;
}

int nvmlDeviceGetMemoryInfo(device_t *device, memory_t *out)
{
    memory2_t found = {0};
    int code = find_memory("nvmlDeviceGetMemoryInfo", device, &found);

    *out = (memory_t){found.total, found.free, found.used + found.reserved};
    return code;
}

typedef struct { unsigned gpu, memory; } utilisation_t;

int nvmlDeviceGetUtilizationRates(device_t *device, utilisation_t *out)
{
    char value[64];
    int code = answer("nvmlDeviceGetUtilizationRates", device, "util", value, sizeof value);

    if (!code)
        sscanf(value, "%u %u", &out->gpu, &out->memory);
    return code;
}

static int find_use(const char *function, device_t *device, const char *name, unsigned *out,
                    unsigned *period)
{
    char value[64];
    int code = answer(function, device, name, value, sizeof value);

    *out = code ? 0 : atoi(value);
    *period = 1000000;
    return code;
}

int nvmlDeviceGetEncoderUtilization(device_t *device, unsigned *out, unsigned *period)
{
    return find_use("nvmlDeviceGetEncoderUtilization", device, "encoder", out, period);
}

int nvmlDeviceGetDecoderUtilization(device_t *device, unsigned *out, unsigned *period)
{
    return find_use("nvmlDeviceGetDecoderUtilization", device, "decoder", out, period);
}

NUMBER(nvmlDeviceGetPowerUsage, unsigned, "power_mw")
NUMBER(nvmlDeviceGetEnforcedPowerLimit, unsigned, "power_limit_mw")
NUMBER(nvmlDeviceGetPowerManagementDefaultLimit, unsigned, "power_limit_mw")
NUMBER(nvmlDeviceGetFanSpeed, unsigned, "fan")
NUMBER(nvmlDeviceGetCurrPcieLinkGeneration, unsigned, "pcie_generation")
NUMBER(nvmlDeviceGetMaxPcieLinkGeneration, unsigned, "pcie_generation")
NUMBER(nvmlDeviceGetCurrPcieLinkWidth, unsigned, "pcie_width")
NUMBER(nvmlDeviceGetMaxPcieLinkWidth, unsigned, "pcie_width")
NUMBER(nvmlDeviceGetPcieReplayCounter, unsigned, "pcie_replays")
NUMBER(nvmlDeviceGetCurrentClocksThrottleReasons, unsigned long long, "reasons")
NUMBER(nvmlDeviceGetSupportedEventTypes, unsigned long long, "events")

int nvmlDeviceGetTemperature(device_t *device, int sensor, unsigned *out)
{
    char value[64];
    int code = answer("nvmlDeviceGetTemperature", device, "temp", value, sizeof value);

    *out = code ? 0 : atoi(value);
    return sensor ? INVALID : code;
}

static int find_clock(const char *function, device_t *device, const char *what, int kind,
                      unsigned *out)
{
    char value[64], name[64];
    int code;

    snprintf(name, sizeof name, "%s.%d", what, kind);
    code = answer(function, device, name, value, sizeof value);
    *out = code ? 0 : atoi(value);
    return code;
}

int nvmlDeviceGetClockInfo(device_t *device, int kind, unsigned *out)
{
    return find_clock("nvmlDeviceGetClockInfo", device, "clock", kind, out);
}

int nvmlDeviceGetMaxClockInfo(device_t *device, int kind, unsigned *out)
{
    return find_clock("nvmlDeviceGetMaxClockInfo", device, "clock_max", kind, out);
}

int nvmlDeviceGetPcieThroughput(device_t *device, int counter, unsigned *out)
{
    int code = find_clock("nvmlDeviceGetPcieThroughput", device, "pcie_kb", counter, out);

    if (!code)
        usleep(20000);
    return code;
}

typedef struct {
    unsigned id, scope;
    long long at, latency;
    int type, code;
    union { double d; unsigned ui; unsigned long long ull; } value;
} field_t;

int nvmlDeviceGetFieldValues(device_t *device, int many, field_t *fields)
{
    int code = enter("nvmlDeviceGetFieldValues", device);

    for (int i = 0; i < many && !code; i++) {
        char value[64], name[64];
        snprintf(name, sizeof name, "field.%u", fields[i].id);
        fields[i].type = 3;
        fields[i].code = OK;
        if (!find(value, sizeof value, device->prefix, name))
            fields[i].code = UNSUPPORTED;
        else if (*value == '!')
            fields[i].code = atoi(value + 1);
        else if (!strncmp(value, "ui:", 3)) {
            memset(&fields[i].value, 0xff, sizeof fields[i].value);
            fields[i].type = 1;
            fields[i].value.ui = strtoul(value + 3, NULL, 0);
        } else
            fields[i].value.ull = strtoull(value, NULL, 0);
    }
    return code;
}

/* Processes: "PID:BYTES,PID:BYTES"; NA for what is not available. */

typedef struct {
    unsigned pid;
    unsigned long long memory;
    unsigned instance, compute_instance;
} process_t;

static int find_processes(const char *function, device_t *device, const char *name, unsigned *many,
                          process_t *out)
{
    char value[4096], *rest, *one;
    unsigned room = *many;
    int code = answer(function, device, name, value, sizeof value);

    *many = 0;
    if (code)
        return code;
    for (one = strtok_r(value, ",", &rest); one; one = strtok_r(NULL, ",", &rest)) {
        if (out && *many < room) {
            char *colon = strchr(one, ':');
            out[*many].pid = atoi(one);
            out[*many].memory = strcmp(colon + 1, "NA") ? strtoull(colon + 1, NULL, 0) : ULLONG_MAX;
        }
        ++*many;
    }
    return *many > (out ? room : 0) ? TOO_SMALL : OK;
}

#define PROCESSES(FUNCTION, NAME)                                                                  \
    int FUNCTION(device_t *device, unsigned *many, process_t *out)                                 \
    {                                                                                              \
        return find_processes(#FUNCTION, device, NAME, many, out);                                 \
    }

PROCESSES(nvmlDeviceGetComputeRunningProcesses_v2, "compute")
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v2, "graphics")

/* "PID:SHARE:MICROSECONDS,..." */

typedef struct {
    unsigned pid;
    unsigned long long at;
    unsigned sm, memory, encoder, decoder;
} share_t;

int nvmlDeviceGetProcessUtilization(device_t *device, share_t *out, unsigned *many,
                                    unsigned long long since)
{
    char value[4096], *rest, *one;
    unsigned found = 0;
    int code = answer("nvmlDeviceGetProcessUtilization", device, "shares", value, sizeof value);

    if (code)
        return code;
    for (one = strtok_r(value, ",", &rest); one; one = strtok_r(NULL, ",", &rest)) {
        share_t share = {0};
        sscanf(one, "%u:%u:%llu", &share.pid, &share.sm, &share.at);
        if (share.at <= since)
            continue;
        if (out)
            out[found] = share;
        found++;
    }
    *many = found;
    return !found ? NOT_FOUND : out ? OK : TOO_SMALL;
}

/* Events */

static int listening[GPUS], told;

static int next_event(int *gpu, unsigned long long *xid)
{
    char value[64], name[64];

    snprintf(name, sizeof name, "event.%d", told + 1);
    if (!find(value, sizeof value, "", name))
        return 0;
    told++;
    return sscanf(value, "%d %llu", gpu, xid) == 2;
}

int nvmlEventSetCreate(void **out)
{
    int gpu;
    unsigned long long xid;

    *out = listening;
    memset(listening, 0, sizeof listening);
    while (next_event(&gpu, &xid))
        ;
    return enter("nvmlEventSetCreate", NULL);
}

int nvmlEventSetFree(void *set)
{
    (void)set;
    return OK;
}

int nvmlDeviceRegisterEvents(device_t *device, unsigned long long kinds, void *set)
{
    (void)set;
    listening[device->gpu] = (kinds & 8) != 0;
    return enter("nvmlDeviceRegisterEvents", device);
}

typedef struct {
    device_t *device;
    unsigned long long type, data;
    unsigned instance, compute_instance;
} event_t;

int nvmlEventSetWait_v2(void *set, event_t *out, unsigned timeout_ms)
{
    int gpu, code = enter("nvmlEventSetWait_v2", NULL);
    unsigned long long xid;

    (void)set;
    if (code)
        return code;
    while (next_event(&gpu, &xid))
        if (listening[gpu]) {
            *out = (event_t){&devices[gpu][0], 8, xid, -1, -1};
            return OK;
        }
    usleep(timeout_ms * 1000);
    return TIMEOUT;
}

#ifndef OLD_DRIVER

NUMBER(nvmlDeviceGetCurrentClocksEventReasons, unsigned long long, "reasons")
PROCESSES(nvmlDeviceGetComputeRunningProcesses_v3, "compute")
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v3, "graphics")
PROCESSES(nvmlDeviceGetMPSComputeRunningProcesses_v3, "mps")

int nvmlDeviceGetMemoryInfo_v2(device_t *device, memory2_t *out)
{
    return find_memory("nvmlDeviceGetMemoryInfo_v2", device, out);
}

typedef struct { unsigned version; int sensor, temperature; } temperature_t;

int nvmlDeviceGetTemperatureV(device_t *device, temperature_t *out)
{
    char value[64];
    int code = answer("nvmlDeviceGetTemperatureV", device, "temp", value, sizeof value);

    out->temperature = code ? 0 : atoi(value);
    return code;
}

/* GPM: a sample is a moment of a device or GPU instance. */

typedef struct { char prefix[KEY]; long number; } sample_t;
typedef struct {
    unsigned id;
    int code;
    double value;
    const char *names[3];
} metric_t;
typedef struct { unsigned version, many; sample_t *first, *second; metric_t metrics[]; } request_t;

static long samples;

int nvmlGpmQueryDeviceSupport(device_t *device, unsigned *out)
{
    char value[64];
    int code = answer("nvmlGpmQueryDeviceSupport", device, "gpm", value, sizeof value);

    out[1] = !code && atoi(value);
    return code;
}

int nvmlGpmSampleAlloc(sample_t **out)
{
    *out = calloc(1, sizeof **out);
    return OK;
}

int nvmlGpmSampleFree(sample_t *sample)
{
    free(sample);
    return OK;
}

int nvmlGpmSampleGet(device_t *device, sample_t *sample)
{
    char value[64];

    /* A divided GPU has counters per instance only. */
    if (find(value, sizeof value, device->prefix, "mig_mode") && atoi(value))
        return UNSUPPORTED;
    snprintf(sample->prefix, KEY, "%s", device->prefix);
    sample->number = ++samples;
    return enter("nvmlGpmSampleGet", device);
}

int nvmlGpmMigSampleGet(device_t *device, unsigned instance, sample_t *sample)
{
    snprintf(sample->prefix, KEY, "gpu.%d.gi.%u", device->gpu, instance);
    sample->number = ++samples;
    return enter("nvmlGpmMigSampleGet", device);
}

int nvmlGpmMetricsGet(request_t *request)
{
    int code = enter("nvmlGpmMetricsGet", NULL);

    if (request->version != 1 || request->first->number >= request->second->number ||
        strcmp(request->first->prefix, request->second->prefix))
        return INVALID;
    for (unsigned i = 0; i < request->many && !code; i++) {
        char value[64], name[64];
        snprintf(name, sizeof name, "gpm.%u", request->metrics[i].id);
        request->metrics[i].code = OK;
        if (!find(value, sizeof value, request->second->prefix, name))
            request->metrics[i].code = UNSUPPORTED;
        else
            request->metrics[i].value = strtod(value, NULL);
    }
    return code;
}

#endif
