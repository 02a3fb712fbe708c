/* SPDX-License-Identifier: BSD-3-Clause */
/* The price of a thing with its tax. */
struct thing {
	unsigned price, kind;
};

static unsigned long long (*const tax)(unsigned long long kind) = (void *)100;

unsigned long long price(struct thing *thing)
{
	return thing->price + (thing->price * tax(thing->kind) + 50) / 100;
}
