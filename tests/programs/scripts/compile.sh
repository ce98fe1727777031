# gcc and make building and testing a C project of many files, with a library, in parallel.
mkdir -p /tmp/p && cd /tmp/p
for i in $(seq 1 40); do
    printf '#include "all.h"\nint f%d(int x) { return x * %d + 1; }\n' $i $i > f$i.c
    echo "int f$i(int x);" >> all.h
done
{ echo '#include <stdio.h>'; echo '#include <pthread.h>'; echo '#include "all.h"'
  echo 'static void *go(void *p) { *(int *)p = f7(3); return 0; }'
  echo 'int main(void) { int s = 0, t = 0; pthread_t id; pthread_create(&id, 0, go, &t); pthread_join(id, 0);'
  for i in $(seq 1 40); do echo "s += f$i(2);"; done
  echo 'printf("%d %d\n", s, t); return 0; }'; } > main.c
cat > Makefile <<'END'
OBJ := $(patsubst %.c,%.o,$(wildcard f*.c))
all: prog static shared
%.o: %.c all.h
	$(CC) -O2 -g -fPIC -Wall -c -o $@ $<
libf.a: $(OBJ)
	ar rcs $@ $^
libf.so: $(OBJ)
	$(CC) -shared -o $@ $^
prog: main.o libf.a
	$(CC) -o $@ main.o libf.a -lpthread
static: main.o libf.a
	$(CC) -static -o $@ main.o libf.a -lpthread
shared: main.o libf.so
	$(CC) -o $@ main.o -L. -lf -lpthread -Wl,-rpath,'$$ORIGIN'
END
make -j4 -s; echo "make $?"
./prog; ./static; ./shared
make -j4 -s; touch f3.c; make -n | grep -c f3
file=$(mktemp); strip -o "$file" prog && chmod +x "$file" && "$file"
ldd shared | grep -c libf; nm prog | grep -c ' T f'; objdump -d prog | grep -c '<f7>:'
echo 'int main(void) { return missing(); }' > bad.c; gcc -w bad.c -o bad 2>&1 | grep -o 'undefined reference to .*'; echo 'int x = ;' | gcc -xc - 2>&1 | grep -o 'error: .*'
printf '#include <stdio.h>\nint main(){int *p=0;puts("a");fflush(stdout);return *p;}' | gcc -w -xc - -o crash && ./crash; echo "crash $?"
gcc -no-pie -o nopie main.c f*.c && ./nopie; gcc -m64 -fsanitize=undefined -o san main.c f*.c 2>/dev/null && ./san
make clean 2>/dev/null; gdb --version > /dev/null 2>&1; echo done
