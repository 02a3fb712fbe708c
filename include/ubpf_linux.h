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
