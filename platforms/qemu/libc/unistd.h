#pragma once
unsigned int sleep(unsigned int seconds);
int usleep(unsigned int microseconds);
