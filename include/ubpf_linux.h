/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Engine, tracer and shell inside a Linux process.
 *
 * A child of fork or clone inherits the attached programs with their code, the two-key map and all counters as they are at that moment; from
 * then on each process has its own. The shell, its socket and the thread that writes out what programs report stay with the parent: what
 * programs of a child report stays in its memory. A child of vfork or posix_spawn runs in its parent's memory, and counts there, until it
 * ends or executes a program.
 */
#ifndef UBPF_LINUX_H
#define UBPF_LINUX_H

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Starts the engine in this process with its shell on a Unix socket; returns once the socket listens. Program files are
 * looked up in the working directory. Environment: UBPF_MAP_ENTRIES, entries of the two-key map (1 to 67108864, else 16384).
 *
 * Call it before other threads run. Where it fails, standard error says which step did, and it can be called again. A second call after
 * a good one gives EALREADY.
 *
 * What programs report is written to file descriptor 1 by a thread of the engine, within some 10 ms. The stream stdout is not touched.
 *
 * @param socket_path path of the socket; a socket in its place that nobody listens on is removed, anything else is an error
 * @return 0, or an errno value
 */
int ubpf_linux_start(const char *socket_path);

/**
 * Flushes stdout and writes out what programs have reported so far: what the caller prints next comes behind it. For programs that want
 * `Notify` lines and their own in order; their stdout is to be line buffered, or flushed after each line. Does nothing before the start.
 */
void ubpf_linux_drain(void);

#ifdef __cplusplus
}
#endif

#endif /* UBPF_LINUX_H */
