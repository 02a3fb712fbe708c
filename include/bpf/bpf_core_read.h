/* SPDX-License-Identifier: BSD-3-Clause */
/* Access to fields whose place is known only where the program is loaded (CO-RE), by the names that libbpf has for it. */
#ifndef UBPF_BPF_CORE_READ_H
#define UBPF_BPF_CORE_READ_H

#include "types.h"

/* What a relocation asks for (Linux, enum bpf_core_relo_kind, as clang's builtins number it). */
enum bpf_field_info_kind {
	BPF_FIELD_BYTE_OFFSET = 0,
	BPF_FIELD_BYTE_SIZE = 1,
	BPF_FIELD_EXISTS = 2,
	BPF_FIELD_SIGNED = 3,
	BPF_FIELD_LSHIFT_U64 = 4,
	BPF_FIELD_RSHIFT_U64 = 5,
};
enum bpf_type_id_kind { BPF_TYPE_ID_LOCAL = 0, BPF_TYPE_ID_TARGET = 1 };
enum bpf_type_info_kind { BPF_TYPE_EXISTS = 0, BPF_TYPE_SIZE = 1, BPF_TYPE_MATCHES = 2 };
enum bpf_enum_value_kind { BPF_ENUMVAL_EXISTS = 0, BPF_ENUMVAL_VALUE = 1 };

/** Whether the field is there: `p->field`. */
#define bpf_core_field_exists(field) __builtin_preserve_field_info(field, BPF_FIELD_EXISTS)
/** Its bytes. */
#define bpf_core_field_size(field) __builtin_preserve_field_info(field, BPF_FIELD_BYTE_SIZE)
/** Where it is, in bytes. */
#define bpf_core_field_offset(field) __builtin_preserve_field_info(field, BPF_FIELD_BYTE_OFFSET)
#define bpf_core_type_id_local(type) __builtin_btf_type_id(*(__typeof__(type) *)0, BPF_TYPE_ID_LOCAL)
#define bpf_core_type_exists(type) __builtin_preserve_type_info(*(__typeof__(type) *)0, BPF_TYPE_EXISTS)
#define bpf_core_type_size(type) __builtin_preserve_type_info(*(__typeof__(type) *)0, BPF_TYPE_SIZE)
#define bpf_core_enum_value_exists(type, value) \
	__builtin_preserve_enum_value(*(__typeof__(type) *)value, BPF_ENUMVAL_EXISTS)
#define bpf_core_enum_value(type, value) \
	__builtin_preserve_enum_value(*(__typeof__(type) *)value, BPF_ENUMVAL_VALUE)

/** Reads fault-safely from a place that is given by fields. */
#define bpf_core_read(to, size, from) \
	bpf_probe_read_kernel(to, size, (const void *)__builtin_preserve_access_index(from))

/* One step of a chain of pointers. The steps stand one after the other: relocations do not nest. */
#define ___core_get(value, pointer, field)     \
	__typeof__((pointer)->field) value;     \
	bpf_core_read(&value, sizeof(value), &(pointer)->field)
#define ___core_nth(_, _1, _2, _3, _4, _5, _6, n, ...) n
#define ___core_count(...) ___core_nth(_, ##__VA_ARGS__, 6, 5, 4, 3, 2, 1, 0)
#define ___core_join(a, b) a##b
#define ___core_apply(macro, count) ___core_join(macro, count)
#define ___core_chain1(p, a) \
	({ \
		___core_get(___v1, p, a); \
		___v1; \
	})
#define ___core_chain2(p, a, b) \
	({ \
		___core_get(___v1, p, a); \
		___core_get(___v2, ___v1, b); \
		___v2; \
	})
#define ___core_chain3(p, a, b, c) \
	({ \
		___core_get(___v1, p, a); \
		___core_get(___v2, ___v1, b); \
		___core_get(___v3, ___v2, c); \
		___v3; \
	})
#define ___core_chain4(p, a, b, c, d) \
	({ \
		___core_get(___v1, p, a); \
		___core_get(___v2, ___v1, b); \
		___core_get(___v3, ___v2, c); \
		___core_get(___v4, ___v3, d); \
		___v4; \
	})
#define ___core_chain5(p, a, b, c, d, e) \
	({ \
		___core_get(___v1, p, a); \
		___core_get(___v2, ___v1, b); \
		___core_get(___v3, ___v2, c); \
		___core_get(___v4, ___v3, d); \
		___core_get(___v5, ___v4, e); \
		___v5; \
	})
#define ___core_chain6(p, a, b, c, d, e, f) \
	({ \
		___core_get(___v1, p, a); \
		___core_get(___v2, ___v1, b); \
		___core_get(___v3, ___v2, c); \
		___core_get(___v4, ___v3, d); \
		___core_get(___v5, ___v4, e); \
		___core_get(___v6, ___v5, f); \
		___v6; \
	})

/** `BPF_CORE_READ(p, a, b)` is `p->a->b`, each read fault-safe. */
#define BPF_CORE_READ(pointer, ...) \
	___core_apply(___core_chain, ___core_count(__VA_ARGS__))(pointer, ##__VA_ARGS__)

#endif /* UBPF_BPF_CORE_READ_H */
