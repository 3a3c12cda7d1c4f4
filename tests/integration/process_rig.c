#include "tests/integration/process_rig.h"

#include "artifacts/image_build.h"
#include "base/alloc.h"
#include "base/attempt/attempt.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/yaml.h"
#include "deployers/haproxy/frontend.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

/* ---- surroundings ---- */

static uint16_t kernels_choice(void)
{
	cleanup_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	return ntohs(address.sin_port);
}

/* A free port chosen by the kernel's die, but below those that it gives to clients: the load's own connections must not take it. */
uint16_t rig_free_port(void)
{
	for (;;) {
		uint16_t port = (uint16_t)(10000 + kernels_choice() % 20000);
		if (loopback_port_is_free(port))
			return port;
	}
}

void rig_configure(struct rig *rig, const char *extra)
{
	unsigned first = rig_free_port(); /* taken ports in the range are skipped */
	free(rig->config);
	rig->config = xasprintf("frontend: \"127.0.0.1:%u\"\nports: %u-%u\ngrace: 2s\ndrain: 5s\n%s", rig->port, first, first + 40, extra);
}

void rig_move(struct rig *rig)
{
	cleanup_free char *before = rig->config;
	char *ports = strstr(before, "\nports");
	rig->port = rig_free_port();
	rig->config = xasprintf("frontend: \"127.0.0.1:%u\"%s", rig->port, ports);
}

int rig_setup(void **state)
{
	struct rig *rig = xcalloc(1, sizeof(*rig));
	cleanup_error struct error *err = NULL;
	void *fixture = NULL;
	if (fixture_setup(&fixture) < 0)
		return -1;
	rig->fixture = fixture;
	rig->state_dir = path_join(rig->fixture->dir, "state");
	rig->layout = path_join(rig->fixture->dir, "oci");
	rig->health_path = "/healthz";
	rig->health_within_ms = 20000;
	rig->port = rig_free_port();
	rig_configure(rig, "");
	assert_ok(dir_make(rig->state_dir, 0700, &err), err);
	*state = rig;
	return 0;
}

void rig_open(struct rig *rig)
{
	struct diag_list *diags = diag_list_new();
	cleanup_error struct error *err = NULL;
	rig->doc = yaml_parse("target.yml", rig->config, strlen(rig->config), diags);
	assert_non_null(rig->doc);
	const struct target_ops *ops = target_find("process");
	assert_true(schema_check(ops->config, yaml_root(rig->doc), diags));
	diag_list_free(diags);
	cleanup_free char *self = xstrdup("/proc/self/exe");
	char exe[4096];
	ssize_t n = readlink(self, exe, sizeof(exe) - 1);
	assert_true(n > 0);
	exe[n] = '\0';
	struct target_config config = {
		.name = "prod", .kind = "process", .body = yaml_root(rig->doc), .state_dir = rig->state_dir, .layout = rig->layout, .self = exe};
	rig->loop = loop_new();
	assert_ok(ops->open(&config, rig->loop, &rig->target, &err), err);
}

static void on_limit(void *arg)
{
	struct rig *rig = arg;
	rig->timed_out = true;
}

void rig_run(struct rig *rig, uint64_t ms)
{
	rig->timed_out = false;
	struct loop_timer *timer = loop_timer_start(rig->loop, ms, 0, on_limit, rig);
	while (!rig->timed_out)
		loop_turn(rig->loop);
	loop_timer_stop(timer);
}

void rig_close(struct rig *rig)
{
	if (!rig->target)
		return;
	rig->target->ops->close(rig->target);
	rig->target = NULL;
	rig_run(rig, 200); /* children that were cancelled come home */
	loop_free(rig->loop);
	rig->loop = NULL;
	yaml_doc_free(rig->doc);
	rig->doc = NULL;
}

/* Every attempt below dir/<*>/starts/<*> (copies) or dir/starts/<*> (HAProxy). */
static void each_attempt(const char *dir, unsigned depth, void (*fn)(const char *attempt_dir, void *arg), void *arg)
{
	cleanup_dir DIR *entries = opendir(dir);
	for (struct dirent *entry; entries && (entry = readdir(entries));) {
		if (entry->d_name[0] == '.')
			continue;
		cleanup_free char *path = path_join(dir, entry->d_name);
		cleanup_free char *spec = path_join(path, "spec");
		if (path_exists(spec))
			fn(path, arg);
		else if (depth)
			each_attempt(path, depth - 1, fn, arg);
	}
}

static void end_attempt(const char *dir, void *arg)
{
	(void)arg;
	enum attempt_state state = ATTEMPT_RUNNING;
	cleanup_error struct error *err = NULL;
	assert_ok(attempt_cancel(dir, &err), err);
	for (uint64_t until = clock_mono_ms() + 20000; state == ATTEMPT_RUNNING && clock_mono_ms() < until; usleep(5000))
		assert_ok(attempt_state(dir, &state, &err), err);
	assert_int_not_equal(state, ATTEMPT_RUNNING);
}

static void count_attempt(const char *dir, void *arg)
{
	(void)dir;
	++*(unsigned *)arg;
}

unsigned rig_starts(const struct rig *rig)
{
	unsigned n = 0;
	cleanup_free char *instances = path_join(rig->state_dir, "instances");
	each_attempt(instances, 3, count_attempt, &n);
	return n;
}

int rig_teardown(void **state)
{
	struct rig *rig = *state;
	rig_close(rig);
	each_attempt(rig->fixture->dir, 6, end_attempt, NULL);
	/* Our leaders are our children: let the attempt module reap them. */
	for (uint64_t until = clock_mono_ms() + 10000; clock_mono_ms() < until;) {
		enum attempt_state ignored;
		siginfo_t info = {0};
		if (attempt_state(rig->state_dir, &ignored, NULL) < 0 || waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
			break;
		usleep(2000);
	}
	void *fixture = rig->fixture;
	free(rig->state_dir);
	free(rig->layout);
	free(rig->config);
	free(rig);
	return fixture_teardown(&fixture);
}

char *rig_image(struct rig *rig, const char *version, const char *behaviour)
{
	static const struct image_layer_spec layers[] = {{.item = {.from = "app/", .to = "/app/"}, .compression = COMPRESSION_NONE}};
	static const char *const entrypoint[] = {"python3", "/app/server.py", NULL};
	struct image_spec spec = {.host_base = true, .layers = layers, .n_layers = 1, .entrypoint = entrypoint, .dir = "/app", .port = 8080};
	struct image_result result;
	cleanup_error struct error *err = NULL;
	cleanup_free char *text = NULL;
	cleanup_free char *behaves = xasprintf("%s %s\n", version, behaviour);
	assert_ok(file_read(SOURCE_DIR "/tests/integration/server.py", 65536, &text, NULL, &err), err);
	free(fixture_write(rig->fixture, "context/app/server.py", text));
	free(fixture_write(rig->fixture, "context/app/behaviour", behaves));
	cleanup_free char *context = path_join(rig->fixture->dir, "context");
	assert_ok(image_build(&spec, context, rig->layout, version, &result, &err), err);
	return xstrdup(result.manifest.digest);
}

/* ---- the contract, waiting ---- */

struct answer {
	bool here;
	struct error *err;
	struct actual actual;
	struct counts_report report;
};

static struct error *copy_error(const struct error *err)
{
	struct error *copy = NULL;
	if (err)
		error_set(&copy, error_code_of(err), 0, "%s", error_message(err));
	return copy;
}

static void on_done(void *arg, uint64_t generation, struct error *err)
{
	struct answer *answer = arg;
	(void)generation;
	answer->err = copy_error(err);
	answer->here = true;
}

void rig_ignore_done(void *arg, uint64_t generation, struct error *err)
{
	(void)arg;
	(void)generation;
	(void)err;
}

void rig_keep_error(void *arg, uint64_t generation, struct error *err)
{
	(void)generation;
	*(struct error **)arg = copy_error(err);
}

void rig_start_apply(struct rig *rig, const struct wanted *arms, unsigned n, target_done_fn done, void *arg)
{
	struct release releases[MAX_ARMS];
	struct desired desired = {.n_arms = n,
				  .generation = ++rig->generation,
				  .health_path = rig->health_path,
				  .health_within_ms = rig->health_within_ms,
				  .restart_after_ms = rig->restart_after_ms,
				  .memory_bytes = rig->memory_bytes,
				  .cpu = rig->cpu,
				  .preview = rig->preview};
	for (unsigned i = 0; i < n; i++) {
		releases[i] = (struct release){.id = i + 1, .version = arms[i].image + 7, .image = arms[i].image, .commit = "c0ffee"};
		desired.arms[i] = (struct arm){&releases[i], arms[i].replicas, arms[i].weight_ppm};
	}
	rig->target->ops->apply(rig->target, &desired, done, arg);
}

struct error *rig_try_apply(struct rig *rig, const struct wanted *arms, unsigned n)
{
	struct answer answer = {0};
	rig_start_apply(rig, arms, n, on_done, &answer);
	rig_until(rig, answer.here);
	return answer.err;
}

void rig_apply(struct rig *rig, const struct wanted *arms, unsigned n)
{
	cleanup_error struct error *err = rig_try_apply(rig, arms, n);
	assert_no_error(err);
}

static void on_actual(void *arg, const struct actual *actual, struct error *err)
{
	struct answer *answer = arg;
	assert_no_error(err);
	answer->actual = *actual;
	answer->here = true;
}

void rig_observe(struct rig *rig, struct actual *ret)
{
	struct answer answer = {0};
	rig->target->ops->observe(rig->target, on_actual, &answer);
	while (!answer.here)
		loop_turn(rig->loop);
	*ret = answer.actual;
}

const struct arm_status *rig_arm(const struct actual *actual, const char *image)
{
	for (unsigned i = 0; i < actual->n_arms; i++)
		if (strcmp(actual->arms[i].image, image) == 0)
			return &actual->arms[i];
	return NULL;
}

static void on_counts(void *arg, const struct counts_report *report, struct error *err)
{
	struct answer *answer = arg;
	assert_no_error(err);
	answer->report = *report;
	answer->here = true;
}

void rig_counts(struct rig *rig, struct counts_report *ret)
{
	struct answer answer = {0};
	rig->target->ops->counts(rig->target, on_counts, &answer);
	while (!answer.here)
		loop_turn(rig->loop);
	*ret = answer.report;
}

const struct arm_counts *rig_arm_counts(const struct counts_report *report, const char *image)
{
	static const struct arm_counts none;
	for (unsigned i = 0; i < report->n_arms; i++)
		if (strcmp(report->arms[i].image, image) == 0)
			return &report->arms[i].counts;
	return &none;
}

/* ---- from outside ---- */

int rig_ask(uint16_t port, const char *path, char body[64])
{
	cleanup_free char *text = xasprintf("GET %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", path);
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	cleanup_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char answer[2048];
	size_t len = 0;
	body[0] = '\0';
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		return -1;
	for (ssize_t n; len < sizeof(answer) - 1 && (n = read(fd, answer + len, sizeof(answer) - 1 - len)) > 0;)
		len += (size_t)n;
	answer[len] = '\0';
	const char *blank = strstr(answer, "\r\n\r\n");
	if (!blank || strncmp(answer, "HTTP/1.1 ", 9) != 0)
		return -1;
	snprintf(body, 64, "%.63s", blank + 4);
	return (int)strtol(answer + 9, NULL, 10);
}

int rig_get(const struct rig *rig, char body[64])
{
	return rig_ask(rig->port, "/predict", body);
}

static char *ask(const struct rig *rig, const char *name, const char *command)
{
	cleanup_free char *dir = xasprintf("%s/haproxy", rig->state_dir);
	cleanup_fd int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dir_fd, name);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return xstrdup("");
	struct buf answer;
	char bytes[4096];
	buf_init(&answer, 1 << 20);
	cleanup_free char *line = xasprintf("%s\n", command);
	assert_true(send(fd, line, strlen(line), MSG_NOSIGNAL) > 0);
	shutdown(fd, SHUT_WR);
	for (ssize_t n; (n = read(fd, bytes, sizeof(bytes))) > 0;)
		buf_add(&answer, bytes, (size_t)n);
	return buf_steal(&answer);
}

char *rig_runtime(const struct rig *rig, const char *command)
{
	return ask(rig, "r.sock", command);
}

char *rig_master(const struct rig *rig, const char *command)
{
	return ask(rig, "m.sock", command);
}

unsigned long rig_router_pid(const struct rig *rig)
{
	cleanup_free char *info = rig_runtime(rig, "show info");
	const char *pid = strstr(info, "\nPid: ");
	return pid ? strtoul(pid + 6, NULL, 10) : 0;
}

/* The inode of the listening socket, from /proc/net/tcp. */
static unsigned long listening_inode(uint16_t port)
{
	cleanup_file FILE *file = fopen("/proc/net/tcp", "re");
	char line[512];
	while (file && fgets(line, sizeof(line), file)) {
		unsigned local_port, state;
		unsigned long inode;
		if (sscanf(line, " %*d: %*8x:%x %*x:%*x %x %*x:%*x %*x:%*x %*x %*d %*d %lu", &local_port, &state, &inode) == 3 &&
		    local_port == port && state == 10)
			return inode;
	}
	return 0;
}

static bool holds_socket(const char *pid, unsigned long inode)
{
	cleanup_free char *dir = xasprintf("/proc/%s/fd", pid);
	cleanup_free char *wanted = xasprintf("socket:[%lu]", inode);
	cleanup_dir DIR *entries = opendir(dir);
	for (struct dirent *entry; entries && (entry = readdir(entries));) {
		char link[64];
		ssize_t n = readlinkat(dirfd(entries), entry->d_name, link, sizeof(link) - 1);
		if (n <= 0)
			continue;
		link[n] = '\0';
		if (strcmp(link, wanted) == 0)
			return true;
	}
	return false;
}

int rig_listener(uint16_t port)
{
	unsigned long inode = listening_inode(port);
	cleanup_dir DIR *entries = opendir("/proc");
	for (struct dirent *entry; inode && (entry = readdir(entries));)
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && holds_socket(entry->d_name, inode))
			return (int)strtol(entry->d_name, NULL, 10);
	return 0;
}

/* ---- load ---- */

#define LOAD_THREADS 2
struct load {
	uint16_t port;
	atomic_bool stop;
	atomic_ullong requests, failed, from_first;
	pthread_mutex_t lock;
	char last_failure[128];
	pthread_t threads[LOAD_THREADS];
};

static void *load_thread(void *arg)
{
	struct load *load = arg;
	while (!load->stop) {
		char body[64];
		int status = rig_ask(load->port, "/predict", body);
		load->requests++;
		load->from_first += status == 200 && strcmp(body, "v1") == 0;
		if (status != 200) {
			load->failed++;
			pthread_mutex_lock(&load->lock);
			snprintf(load->last_failure, sizeof(load->last_failure), "status %d: %s", status, body);
			pthread_mutex_unlock(&load->lock);
		}
		usleep(1000); /* the pace of the load, not a wait for anything */
	}
	return NULL;
}

struct load *load_start(const struct rig *rig)
{
	struct load *load = xcalloc(1, sizeof(*load));
	load->port = rig->port;
	pthread_mutex_init(&load->lock, NULL);
	for (size_t i = 0; i < LOAD_THREADS; i++)
		assert_int_equal(pthread_create(&load->threads[i], NULL, load_thread, load), 0);
	return load;
}

void load_stop(struct load *load, struct load_result *ret)
{
	load->stop = true;
	for (size_t i = 0; i < LOAD_THREADS; i++)
		pthread_join(load->threads[i], NULL);
	*ret = (struct load_result){.requests = load->requests, .failed = load->failed, .from_first = load->from_first};
	snprintf(ret->last_failure, sizeof(ret->last_failure), "%s", load->last_failure);
	pthread_mutex_destroy(&load->lock);
	free(load);
}
