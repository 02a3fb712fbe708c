/* An image: types as `image_types.c` does not have them. */
struct place {
	int before, x, y;
};

struct item {
	char name[16];
	long count;
	union {
		int both;
		char bytes[4];
	};
	struct place places[4];
	unsigned low : 3, high : 9;
	long wide;
};

struct differs {
	int value;
};

enum state { IDLE = 1, RUNNING = 7 };

struct item item;
struct differs differs_here;
enum state state;

int other(void);

int main(void)
{
	return other() + (int)item.count + state + differs_here.value;
}
