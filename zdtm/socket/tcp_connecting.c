/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Connections that are being made (SYN-SENT): the other end, outside of the tree, has no room for them until the test is over. */
#include "zdtm.h"
#include "inet.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>

static struct sockaddr_storage name;
static socklen_t len;
static int waiting;

/* A process that is not of the test makes room at SIGUSR1, and answers three connections; the first is its own. */
static pid_t peer(int listener, int own)
{
	pid_t pid = fork();
	sigset_t go;
	int fd, sig;

	if (pid != 0)
		return pid;
	for (fd = 0; fd < 1000; fd++)
		if (fd != listener && fd != own)
			close(fd);
	setsid();
	sigemptyset(&go);
	sigaddset(&go, SIGUSR1);
	sigwait(&go, &sig);
	listen(listener, 10);
	for (int i = 0; i < 3; i++)
		if ((fd = accept(listener, NULL, NULL)) < 0 || send(fd, "hello", 5, MSG_NOSIGNAL) != 5)
			_exit(1);
	/* Until both have gone. */
	_exit(recv(fd, &sig, 1, 0) != 0);
}

static void *connects(void *unused)
{
	(void)unused;
	check(connect(waiting, (void *)&name, len) == 0, "connect");
	return NULL;
}

static int state(int fd)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);

	check(getsockopt(fd, SOL_TCP, TCP_INFO, &info, &size) == 0, "TCP_INFO");
	return info.tcpi_state;
}

static void comes_to(int fd, int expected)
{
	for (int tries = 0; state(fd) != expected; tries++) {
		check(tries < 5000, "the state is %d and not %d", state(fd), expected);
		usleep(1000);
	}
}

int main(int argc, char **argv)
{
	int listener, own, fd, error;
	struct sockaddr_storage before, after;
	struct pollfd ready = { .events = POLLOUT };
	pthread_t thread;
	sigset_t go;
	char got[5];
	pid_t pid;

	len = loopback(AF_INET, &name);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	own = socket(AF_INET, SOCK_STREAM, 0);
	check(bind(listener, (void *)&name, len) == 0 && listen(listener, 0) == 0, "listen");
	check(getsockname(listener, (void *)&name, &len) == 0 && connect(own, (void *)&name, len) == 0, "connect");
	sigemptyset(&go);
	sigaddset(&go, SIGUSR1);
	sigprocmask(SIG_BLOCK, &go, NULL);
	pid = peer(listener, own);
	check(pid > 0 && close(listener) == 0 && close(own) == 0, "fork");
	test_init(argc, argv);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	waiting = socket(AF_INET, SOCK_STREAM, 0);
	check(connect(fd, (void *)&name, len) == -1 && errno == EINPROGRESS, "connect");
	check(getsockname(fd, (void *)&before, &len) == 0, "getsockname");
	check(pthread_create(&thread, NULL, connects, NULL) == 0, "pthread_create");
	comes_to(waiting, TCP_SYN_SENT);

	test_daemon();
	test_waitsig();

	check(state(fd) == TCP_SYN_SENT && state(waiting) == TCP_SYN_SENT, "states %d %d", state(fd), state(waiting));
	check(getsockname(fd, (void *)&after, &len) == 0 && !memcmp(&before, &after, len), "the name is another");
	check(connect(fd, (void *)&name, len) == -1 && errno == EALREADY, "connect goes on");
	check(kill(pid, SIGUSR1) == 0, "kill");
	ready.fd = fd;
	check(poll(&ready, 1, 60000) == 1 && ready.revents == POLLOUT, "poll gives %x", ready.revents);
	len = sizeof(error);
	check(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0, "SO_ERROR is %d", error);
	check(fcntl(fd, F_SETFL, 0) == 0 && recv(fd, got, 5, MSG_WAITALL) == 5 && !memcmp(got, "hello", 5), "recv");
	check(pthread_join(thread, NULL) == 0, "pthread_join");
	check(recv(waiting, got, 5, MSG_WAITALL) == 5 && !memcmp(got, "hello", 5), "recv of the other");
	return pass();
}
