//! `memory.S` beside the host's C library, at all lengths and offsets that take another way.

use super::{root, scratch};
use std::{fs, process::Command};

const HARNESS: &str = r#"
#include <string.h>
#include <stdio.h>
#include <stdlib.h>
void *own_memcpy(void *, const void *, size_t);
void *own_memmove(void *, const void *, size_t);
void *own_memset(void *, int, size_t);
int own_memcmp(const void *, const void *, size_t);
int own_bcmp(const void *, const void *, size_t);

#define SIZE 512
static unsigned char from[SIZE], a[SIZE], b[SIZE];

static void same(const char *what, size_t to, size_t at, size_t len)
{
	if (memcmp(a, b, SIZE)) {
		printf("%s to %zu from %zu, %zu bytes\n", what, to, at, len);
		exit(1);
	}
}

static void fresh(void)
{
	for (int i = 0; i < SIZE; i++)
		a[i] = b[i] = from[i] = (unsigned char)(i * 7 + 1);
}

static int sign(int n)
{
	return (n > 0) - (n < 0);
}

int main(void)
{
	static const size_t lengths[] = { 0, 1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 127, 128, 129, 135, 136, 137, 200 };

	for (size_t n = 0; n < sizeof(lengths) / sizeof(*lengths); n++) {
		size_t len = lengths[n];

		for (size_t to = 0; to < 20; to++) {
			for (size_t at = 0; at < 20; at++) {
				fresh();
				memcpy(a + to, from + at, len);
				if (own_memcpy(b + to, from + at, len) != b + to)
					return 2;
				same("memcpy", to, at, len);
				fresh();
				memmove(a + to, a + at, len);
				if (own_memmove(b + to, b + at, len) != b + to)
					return 3;
				same("memmove", to, at, len);
			}
			fresh();
			memset(a + to, 0x1a5, len);
			if (own_memset(b + to, 0x1a5, len) != b + to)
				return 4;
			same("memset", to, 0, len);
			for (size_t other = 0; other < len + 2; other++) {
				fresh();
				b[to + other] += 1 + 2 * (other % 100);
				if (sign(memcmp(a + to, b + to, len)) != sign(own_memcmp(a + to, b + to, len)) ||
				    !memcmp(a + to, b + to, len) != !own_bcmp(a + to, b + to, len)) {
					printf("memcmp at %zu, %zu bytes, other at %zu\n", to, len, other);
					return 5;
				}
			}
		}
	}
	return 0;
}
"#;

#[test]
fn it_does_what_the_host_does() {
    let folder = scratch("memory");
    fs::write(folder.join("harness.c"), HARNESS).expect("a source");
    let mut gcc = Command::new("gcc");
    gcc.current_dir(&folder).args(["-O1", "-fno-builtin", "-o", "harness", "harness.c"]);
    let source = fs::read_to_string(root().join("platforms/unikraft/memory.S")).expect("the source");
    let own = ["memcpy", "memmove", "memset", "memcmp", "bcmp"].iter().fold(source, |text, name| {
        text.replace(&format!("BEGIN({name})"), &format!("BEGIN(own_{name})"))
            .replace(&format!("jae {name}"), &format!("jae own_{name}"))
    });
    fs::write(folder.join("own.S"), own).expect("a source");
    assert!(gcc.arg("own.S").status().expect("gcc").success());
    let output = Command::new(folder.join("harness")).output().expect("the harness");
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stdout));
}
