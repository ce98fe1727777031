/*
 * PID 1 of a guest that has no agent but this: what the file /lie holds decides how it lies.
 *   long     answers with the longest of lengths
 *   early    says that a program has started that there is not
 *   deaf     makes a container, and hears nothing after that
 *   strange  makes a container whose program ends in a way that there is not
 */
#include <linux/vm_sockets.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define AGENT_PORT 1024

/* One message: its length, 32 bits, and JSON. */
static void say(int stream, const char *json)
{
	uint32_t length = strlen(json);

	if (write(stream, &length, sizeof length) < 0 || write(stream, json, length) < 0)
		perror("write");
}

static void hear(int stream)
{
	uint32_t length;
	char rest;

	if (recv(stream, &length, sizeof length, MSG_WAITALL) != sizeof length)
		return;
	while (length > 0 && recv(stream, &rest, 1, 0) == 1)
		length--;
}

static void lie(int stream, const char *how)
{
	static const uint32_t longest = UINT32_MAX;

	hear(stream);
	if (strcmp(how, "long") == 0 && write(stream, &longest, sizeof longest) < 0)
		perror("write");
	else if (strcmp(how, "early") == 0)
		say(stream, "\"started\"");
	else if (strcmp(how, "deaf") == 0 || strcmp(how, "strange") == 0)
		say(stream, "{\"ready\":{\"process\":7}}");
	if (strcmp(how, "strange") == 0) {
		/* The order to start. */
		hear(stream);
		say(stream, "{\"ended\":{\"signaled\":200}}");
	}
	for (;;)
		pause();
}

int main(void)
{
	struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = AGENT_PORT };
	char how[32] = "";
	FILE *file = fopen("/lie", "r");
	int listener;

	if (file == NULL || fscanf(file, "%31s", how) != 1)
		perror("/lie");
	listener = socket(AF_VSOCK, SOCK_STREAM, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 8) != 0)
		perror("listen");
	/* The first connection is the container's, all others are those of its files. */
	for (int first = 1;; first = 0) {
		int stream = accept(listener, NULL, NULL);

		if (stream >= 0 && first && fork() == 0)
			lie(stream, how);
	}
}
