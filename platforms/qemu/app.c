/* The demo application for an image without a C library. */
void demo_print(const char *text);
void demo_sleep_ms(unsigned ms);
void app_main(void);

__attribute__((noinline)) void myfun(void);

void myfun(void)
{
	demo_print("body of function myfun\n");
}

void app_main(void)
{
	for (;;) {
		myfun();
		demo_sleep_ms(500);
	}
}
