/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Memory that belongs to the kernel, to a device or to somebody who answers its faults. */
#include "lib.h"

#include <arpa/inet.h>
#include <linux/capability.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>

/* A System V segment that is mapped, but whose number says nothing where the process is now. */
static void foreign_segment(void)
{
	int namespace = open("/proc/self/ns/ipc", O_RDONLY), id;

	need(namespace >= 0 && unshare(CLONE_NEWIPC) == 0);
	id = shmget(IPC_PRIVATE, 12345, 0600);
	need(id >= 0 && shmat(id, NULL, 0) != (void *)-1 && shmctl(id, IPC_RMID, NULL) == 0);
	need(setns(namespace, CLONE_NEWIPC) == 0 && close(namespace) == 0);
}

/* Linux 6.4. */
enum { FEATURE_WP_UNPOPULATED = 1 << 13 };

/* A page of memory that is registered; returns the userfaultfd. */
static int registered(char **page, int prot, unsigned long features, unsigned long mode)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	struct uffdio_register range = { .range.len = 4096, .mode = mode };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	*page = mmap(NULL, 4096, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	range.range.start = (unsigned long)*page;
	need(fd >= 0 && *page != MAP_FAILED && ioctl(fd, UFFDIO_API, &api) == 0);
	need(ioctl(fd, UFFDIO_REGISTER, &range) == 0);
	return fd;
}

static void nobody(void)
{
}

static void userfaultfd_range(void)
{
	char *page;
	int fd = registered(&page, PROT_READ | PROT_WRITE, 0, UFFDIO_REGISTER_MODE_MISSING);

	outside(nobody);
	need(close(fd) == 0);
}

static void absent_protected_page(void)
{
	char *page;
	int fd = registered(&page, PROT_READ | PROT_WRITE, FEATURE_WP_UNPOPULATED,
			    UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP);
	struct uffdio_writeprotect range = { { (unsigned long)page, 4096 }, UFFDIO_WRITEPROTECT_MODE_WP };

	need(ioctl(fd, UFFDIO_WRITEPROTECT, &range) == 0);
}

static int handled;

static void *caller(void *page)
{
	((void (*)(void))page)();
	return NULL;
}

static void *reader(void *page)
{
	need(read(open("/dev/zero", O_RDONLY), page, 1) == 1);
	return NULL;
}

/* A thread that waits for an absent page. */
static void waits(void *(*work)(void *))
{
	struct pollfd ready = { 0, POLLIN, 0 };
	pthread_t thread;
	char *page;

	handled = registered(&page, PROT_READ | PROT_WRITE | PROT_EXEC, 0, UFFDIO_REGISTER_MODE_MISSING);
	need(pthread_create(&thread, NULL, work, page) == 0);
	ready.fd = handled;
	need(poll(&ready, 1, -1) == 1);
}

static void absent_code(void)
{
	waits(caller);
}

static void call_at_absent_page(void)
{
	waits(reader);
}

/* A ring of two blocks; returns the socket. */
static int packet_ring(int kind, char **map)
{
	struct tpacket_req ring = { .tp_block_size = 4096, .tp_block_nr = 2, .tp_frame_size = 4096, .tp_frame_nr = 2 };
	int fd = socket(AF_PACKET, SOCK_DGRAM, 0);

	need(fd >= 0 && setsockopt(fd, SOL_PACKET, kind, &ring, sizeof(ring)) == 0);
	*map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	need(*map != MAP_FAILED);
	return fd;
}

static void ring_without_socket(void)
{
	char *map;

	need(close(packet_ring(PACKET_RX_RING, &map)) == 0);
}

static void part_of_ring(void)
{
	char *map;

	packet_ring(PACKET_RX_RING, &map);
	need(munmap(map + 4096, 4096) == 0);
}

/* All frames were used, and none waits to be sent. */
static void ring_gone_round(void)
{
	struct sockaddr_ll name = { .sll_family = AF_PACKET, .sll_protocol = htons(0x88b5), .sll_ifindex = 1 };
	char *map;
	int fd = packet_ring(PACKET_TX_RING, &map);

	for (int i = 0; i < 2; i++) {
		struct tpacket_hdr *frame = (void *)(map + 4096 * i);

		frame->tp_len = 1;
		frame->tp_status = TP_STATUS_SEND_REQUEST;
		need(sendto(fd, NULL, 0, 0, (void *)&name, sizeof(name)) == 1);
	}
}

static void io_uring(void)
{
	struct io_uring_params params = { 0 };
	int fd = syscall(SYS_io_uring_setup, 4, &params);

	need(fd >= 0);
	need(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, IORING_OFF_SQ_RING) != MAP_FAILED);
}

static void perf(void)
{
	struct perf_event_attr clock = {
		.size = sizeof(clock), .type = PERF_TYPE_SOFTWARE, .config = PERF_COUNT_SW_TASK_CLOCK
	};
	int fd = syscall(SYS_perf_event_open, &clock, 0, -1, -1, 0);

	need(fd >= 0 && mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED);
}

/* Begins with an instruction that the kernel does not emulate, but executes in a mapping of its own. */
__attribute__((noinline)) static long probed(long a, long b)
{
	return a ^ b;
}

static void uprobe(void)
{
	unsigned long start, offset, type;
	FILE *file = fopen("/sys/bus/event_source/devices/uprobe/type", "r");
	struct perf_event_attr attr = { .size = sizeof(attr) };
	char line[512];

	need(file && fscanf(file, "%lu", &type) == 1 && fclose(file) == 0);
	file = fopen("/proc/self/maps", "r");
	need(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "%lx-%*x r-xp %lx", &start, &offset) == 2)
			break;
	fclose(file);
	attr.type = type;
	attr.config1 = (unsigned long)"/proc/self/exe";
	attr.config2 = (unsigned long)probed - start + offset;
	need(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0) >= 0);
	need(probed(getpid(), 0) == getpid());
}

/* Private pages over a segment. */
static void copy_of_segment(void)
{
	int id = shmget(IPC_PRIVATE, 4096, 0600), fd;
	char *shared = shmat(id, NULL, 0);
	char place[64];

	need(shared != (void *)-1 && shmctl(id, IPC_RMID, NULL) == 0);
	snprintf(place, sizeof(place), "/proc/self/map_files/%lx-%lx", (long)shared, (long)shared + 4096);
	fd = open(place, O_RDWR);
	need(fd >= 0 && mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED && close(fd) == 0);
}

/* The descriptor stays. */
static void opened_segment(void)
{
	int id = shmget(IPC_PRIVATE, 4096, 0600);
	char *shared = shmat(id, NULL, 0);
	char place[64];

	need(shared != (void *)-1 && shmctl(id, IPC_RMID, NULL) == 0);
	snprintf(place, sizeof(place), "/proc/self/map_files/%lx-%lx", (long)shared, (long)shared + 4096);
	need(open(place, O_RDWR) >= 0);
}

/* What is left of the vdso is its data. */
static void vdso_without_code(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long start, end;
	char line[512];

	need(maps);
	while (fgets(line, sizeof(line), maps))
		if (strstr(line, "[vdso]") && sscanf(line, "%lx-%lx", &start, &end) == 2)
			break;
	fclose(maps);
	need(munmap((void *)start, end - start) == 0);
}

/* Whoever maps more than this from now on is refused. */
static void limit(int resource)
{
	const struct rlimit none = { 4096, 4096 };

	need(setrlimit(resource, &none) == 0);
}

static void limit_of_memory(void)
{
	limit(RLIMIT_AS);
}

static void limit_of_data(void)
{
	limit(RLIMIT_DATA);
}

/* As a process without privileges, to which the limit applies. */
static void limit_of_locked_memory(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { { 0 } };

	need(mlockall(MCL_FUTURE) == 0);
	limit(RLIMIT_MEMLOCK);
	need(syscall(SYS_capset, &header, none) == 0);
}

/* Neighbours that differ are not merged. */
static void limit_of_mappings(void)
{
	int protection = PROT_NONE;

	while (mmap(NULL, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
		protection ^= PROT_READ;
}

const struct thing memory_things[] = {
	{ "segment of another namespace", foreign_segment, 0 },
	{ "userfaultfd range", userfaultfd_range, 0 },
	{ "absent protected page", absent_protected_page, 0 },
	{ "absent code", absent_code, 0 },
	{ "call at absent page", call_at_absent_page, 0 },
	{ "ring without its socket", ring_without_socket, 0 },
	{ "part of a ring", part_of_ring, 0 },
	{ "ring gone round", ring_gone_round, 0 },
	{ "io_uring", io_uring, 0 },
	{ "perf", perf, 0 },
	{ "uprobe", uprobe, 0 },
	{ "copy of a segment", copy_of_segment, 0 },
	{ "opened segment", opened_segment, 0 },
	{ "limit of memory", limit_of_memory, 0 },
	{ "limit of data", limit_of_data, 0 },
	{ "limit of locked memory", limit_of_locked_memory, 0 },
	{ "limit of mappings", limit_of_mappings, 0 },
	{ "vdso without code", vdso_without_code, 0 },
	{ NULL, NULL, 0 },
};
