/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* io_setup(2): contexts keep their names and the completed requests that were not read, also when the ring has wrapped. */
#include "zdtm.h"

#include <fcntl.h>
#include <linux/aio_abi.h>

#define UNREAD 5

static int file;

static void submit(aio_context_t context, uint64_t first, int count)
{
	static char byte;
	struct iocb request, *list[1] = { &request };
	int i;

	for (i = 0; i < count; i++) {
		memset(&request, 0, sizeof(request));
		request.aio_data = first + i;
		request.aio_lio_opcode = IOCB_CMD_PWRITE;
		request.aio_fildes = file;
		request.aio_buf = (uintptr_t)&byte;
		request.aio_nbytes = 1;
		check(syscall(SYS_io_submit, context, 1L, list) == 1, "io_submit");
	}
}

static void expect(aio_context_t context, uint64_t first, int count)
{
	struct io_event event;
	int i;

	for (i = 0; i < count; i++) {
		check(syscall(SYS_io_getevents, context, 0L, 1L, &event, NULL) == 1, "request %d is gone", i);
		check(event.data == first + i && event.res == 1, "request %llu gave %lld", (unsigned long long)event.data,
		      (long long)event.res);
	}
}

static void expect_none(aio_context_t context)
{
	struct io_event event;

	check(syscall(SYS_io_getevents, context, 0L, 1L, &event, NULL) == 0, "one more request");
}

int main(int argc, char **argv)
{
	aio_context_t fresh = 0, used = 0, wrapped = 0;
	int i;

	test_init(argc, argv);
	file = open("/dev/null", O_WRONLY);
	check(file >= 0 && syscall(SYS_io_setup, 8, &fresh) == 0 && syscall(SYS_io_setup, 64, &used) == 0, "io_setup");
	check(syscall(SYS_io_setup, 8, &wrapped) == 0, "io_setup");
	submit(used, 100, UNREAD + 3);
	expect(used, 100, 3);
	/* More than any ring of 8 requests has, on a machine of a few hundred processors. */
	for (i = 0; i < 2000; i++) {
		submit(wrapped, i, 1);
		expect(wrapped, i, 1);
	}
	submit(wrapped, 5000, UNREAD);

	test_daemon();
	test_waitsig();

	expect_none(fresh);
	expect(used, 103, UNREAD);
	expect_none(used);
	expect(wrapped, 5000, UNREAD);
	expect_none(wrapped);
	submit(fresh, 1, 4);
	expect(fresh, 1, 4);
	for (i = 0; i < 2000; i++) {
		submit(wrapped, i, 1);
		expect(wrapped, i, 1);
	}
	check(syscall(SYS_io_destroy, used) == 0 && syscall(SYS_io_destroy, fresh) == 0, "io_destroy");
	check(syscall(SYS_io_destroy, used) == -1 && errno == EINVAL, "it can be destroyed twice");
	errno = 0;
	return pass();
}
