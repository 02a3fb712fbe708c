/* SPDX-License-Identifier: BSD-3-Clause */
/* Engine, tracer and shell inside a Linux process. */
#ifndef UBPF_LINUX_H
#define UBPF_LINUX_H

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Starts the engine in this process with its shell on a Unix socket; returns once the socket listens. Program files are
 * looked up in the working directory. From then on every write to stdout puts out first what hooks have queued.
 *
 * Call it once, before other threads run.
 *
 * @param socket_path path of the socket; a file in its place is removed
 * @return 0, or an errno value
 */
int ubpf_linux_start(const char *socket_path);

#ifdef __cplusplus
}
#endif

#endif /* UBPF_LINUX_H */
