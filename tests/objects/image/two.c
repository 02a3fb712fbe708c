/* Another unit of the image, with another struct of a name that `one.c` has. */
struct differs {
	long before;
	int value;
};

struct differs differs_there;

int other(void)
{
	return differs_there.value;
}
