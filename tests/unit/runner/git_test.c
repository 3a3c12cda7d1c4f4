#include "tests/unit/runner/engine_fixture.h"

#include "runner/git/git_priv.h"
#include "runner/prepare.h"

/* A repository, a place for a mirror and one for a checkout. */
struct place {
	const struct fixture *fixture;
	struct house house; /* only repo is used */
	char *mirror, *to;
};

static void place_make(struct place *place, void **state)
{
	cleanup_error struct error *err = NULL;
	*place = (struct place){.fixture = *state};
	place->house.repo = path_join(place->fixture->dir, "repo");
	place->mirror = path_join(place->fixture->dir, "mirror.git");
	place->to = path_join(place->fixture->dir, "out");
	assert_ok(dir_make(place->house.repo, 0755, &err), err);
	GIT(place->house.repo, "init", "-q", ".");
}

static void place_done(struct place *place)
{
	free(place->house.repo);
	free(place->mirror);
	free(place->to);
}

static int fetch(struct place *place, const char *ref, const char *before, json_t **ret, struct error **err)
{
	cleanup_free char *commit = git_ask(place->house.repo, "rev-parse", "HEAD");
	return git_fetch(place->house.repo, place->mirror, commit, ref, before, ret, err);
}

static char *read_out(const struct place *place, const char *name)
{
	cleanup_free char *path = path_join(place->to, name);
	char *text = NULL;
	return file_read(path, 65536, &text, NULL, NULL) < 0 ? NULL : text;
}

static int check_out(struct place *place, struct globs include, const char *const *exclude, struct error **err)
{
	cleanup_free char *commit = git_ask(place->house.repo, "rev-parse", "HEAD");
	cleanup_json json_t *json = NULL;
	assert_ok(fetch(place, "refs/heads/main", NULL, &json, err), err ? *err : NULL);
	assert_ok(tree_remove(place->to, err), err ? *err : NULL);
	return git_checkout(&(struct checkout){.mirror = place->mirror, .commit = commit, .to = place->to, .include = include, .exclude = exclude},
			    err);
}

static void a_fetch_tells_the_commit_its_changes_and_its_pipelines(void **state)
{
	struct place place;
	place_make(&place, state);
	cleanup_error struct error *err = NULL;
	house_write(&place.house, ".penstock.yml", "stages: {}\n");
	house_commit(&place.house, "first");
	cleanup_free char *before = git_ask(place.house.repo, "rev-parse", "HEAD");
	house_write(&place.house, ".penstock/b.yml", "b");
	house_write(&place.house, ".penstock/a.yml", "a");
	house_write(&place.house, ".penstock/notes.txt", "no pipeline");
	house_commit(&place.house, "second \"quoted\" $(id)");
	cleanup_json json_t *json = NULL;
	assert_ok(fetch(&place, "refs/heads/main", before, &json, &err), err);
	assert_string_equal(json_string_or(json, "message", ""), "second \"quoted\" $(id)\n");
	assert_string_equal(json_string_or(json, "author", ""), "Ann <ann@example.org>");
	cleanup_free char *changed = json_text(json_object_get(json, "changed"));
	assert_string_equal(changed, "[\".penstock/a.yml\",\".penstock/b.yml\",\".penstock/notes.txt\"]");
	cleanup_free char *pipelines = json_text(json_object_get(json, "pipelines"));
	assert_string_equal(pipelines, "[{\"file\":\".penstock.yml\",\"text\":\"stages: {}\\n\"},{\"file\":\".penstock/a.yml\",\"text\":\"a\"},"
				       "{\"file\":\".penstock/b.yml\",\"text\":\"b\"}]");
	assert_true(json_int_or(json, "timestamp", 0) > 1000000000);
	place_done(&place);
}

static void what_came_before_may_be_unknown(void **state)
{
	struct place place;
	place_make(&place, state);
	cleanup_error struct error *err = NULL;
	house_commit(&place.house, "only");
	static const char *const befores[] = {NULL, "0000000000000000000000000000000000000000", "1111111111111111111111111111111111111111"};
	for (size_t i = 0; i < ARRAY_SIZE(befores); i++) {
		cleanup_json json_t *json = NULL;
		assert_ok(fetch(&place, "refs/heads/main", befores[i], &json, &err), err);
		assert_true(json_is_null(json_object_get(json, "changed")));
	}
	place_done(&place);
}

static void a_ref_that_is_gone_does_not_hide_the_commit(void **state)
{
	struct place place;
	place_make(&place, state);
	cleanup_error struct error *err = NULL;
	cleanup_json json_t *json = NULL;
	house_commit(&place.house, "x");
	assert_ok(fetch(&place, "refs/heads/deleted", NULL, &json, &err), err);
	place_done(&place);
}

static void an_annotated_tag_is_its_commit(void **state)
{
	struct place place;
	place_make(&place, state);
	cleanup_error struct error *err = NULL;
	house_commit(&place.house, "x");
	GIT(place.house.repo, "tag", "-a", "v1", "-m", "a tag");
	cleanup_free char *tag = git_ask(place.house.repo, "rev-parse", "v1"), *commit = git_ask(place.house.repo, "rev-parse", "HEAD");
	cleanup_json json_t *json = NULL;
	assert_ok(git_fetch(place.house.repo, place.mirror, tag, "refs/tags/v1", NULL, &json, &err), err);
	assert_string_equal(json_string_or(json, "commit", ""), commit);
	place_done(&place);
}

static void an_unknown_commit_is_told(void **state)
{
	struct place place;
	place_make(&place, state);
	cleanup_error struct error *err = NULL;
	json_t *json = NULL;
	house_commit(&place.house, "x");
	assert_int_equal(git_fetch(place.house.repo, place.mirror, "1111111111111111111111111111111111111111", NULL, NULL, &json, &err), -1);
	assert_error(err, ERROR_NOT_FOUND,
		     "commit 1111111111111111111111111111111111111111 is not in the repository (any more): was the branch pushed over?");
	place_done(&place);
}

static void hostile_names_are_refused_before_git_sees_them(void **state)
{
	(void)state;
	static const char *const refs[][2] = {
		{"--upload-pack=x", "begins with \"-\", like an option"},
		{"refs/heads/-x", "begins with \"-\", like an option"},
		{"a..b", "has characters in it that no branch or tag may have"},
		{"a\nb", "has blanks or control bytes in it"},
		{"refs/heads/*", "has characters in it that no branch or tag may have"},
		{"a@{1}", "has characters in it that no branch or tag may have"},
		{"", "is empty or too long"},
		{"/a", "has an empty part"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(refs); i++) {
		cleanup_error struct error *err = NULL;
		assert_int_equal(git_check_ref(refs[i][0], &err), -1);
		if (!strstr(error_message(err), refs[i][1]))
			fail_msg("%s: %s", refs[i][0], error_message(err));
	}
	static const char *const urls[] = {"ext::sh -c x",      "ssh://h/x",     "git://h/x", "relative/path", "-x",
					   "https://me:pw@h/x", "file://host/x", "/a b",      "/a\nb"};
	for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
		cleanup_error struct error *err = NULL;
		assert_int_equal(git_check_url(urls[i], &err), -1);
		assert_int_equal(error_code_of(err), ERROR_INVALID);
	}
	static const char *const good[] = {"https://h/x.git", "http://127.0.0.1:1/x", "file:///srv/x", "/srv/x"};
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		cleanup_error struct error *err = NULL;
		assert_ok(git_check_url(good[i], &err), err);
	}
	cleanup_error struct error *err = NULL;
	assert_ok(git_check_ref("refs/heads/feature/a-b", &err), err);
	assert_int_equal(git_check_commit("HEAD", &err), -1);
}

static void a_repository_that_is_gone_says_what_to_do(void **state)
{
	struct place place;
	place_make(&place, state);
	cleanup_error struct error *err = NULL;
	json_t *json = NULL;
	assert_int_equal(
		git_fetch("/nonexistent/x.git", place.mirror, "1111111111111111111111111111111111111111", "refs/heads/main", NULL, &json, &err), -1);
	assert_error(err, ERROR_UNAVAILABLE,
		     "the repository /nonexistent/x.git is gone: put it back, or correct its url in penstock.yml, then retry the run");
	place_done(&place);
}

static void files_links_and_modes_come_out_as_they_went_in(void **state)
{
	struct place place;
	place_make(&place, state);
	cleanup_error struct error *err = NULL;
	house_write(&place.house, "src/run.sh", "#!/bin/sh\n");
	house_write(&place.house, "data/a.csv", "1,2\n");
	cleanup_free char *script = path_join(place.house.repo, "src/run.sh"), *good = path_join(place.house.repo, "src/data"),
			  *bad = path_join(place.house.repo, "passwd"), *climbing = path_join(place.house.repo, "src/up");
	assert_int_equal(chmod(script, 0755), 0);
	assert_int_equal(symlink("../data", good), 0);
	assert_int_equal(symlink("/etc/passwd", bad), 0);
	assert_int_equal(symlink("../../x", climbing), 0);
	house_commit(&place.house, "x");
	assert_ok(check_out(&place, (struct globs){NULL, 0}, NULL, &err), err);
	struct stat st;
	cleanup_free char *out_script = path_join(place.to, "src/run.sh"), *out_link = path_join(place.to, "src/data"),
			  *out_bad = path_join(place.to, "passwd"), *out_climbing = path_join(place.to, "src/up");
	assert_int_equal(stat(out_script, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0755);
	cleanup_free char *text = read_out(&place, "src/data/a.csv");
	assert_string_equal(text, "1,2\n");
	assert_int_equal(lstat(out_link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(lstat(out_bad, &st), -1);
	assert_int_equal(lstat(out_climbing, &st), -1);
	place_done(&place);
}

/* "d/up" is the folder of "d" itself, so "d/up/../.." lies above the tree although its letters do not. */
static void links_do_not_climb_out_over_other_links(void **state)
{
	struct place place;
	place_make(&place, state);
	cleanup_error struct error *err = NULL;
	house_write(&place.house, "d/a", "x");
	cleanup_free char *up = path_join(place.house.repo, "d/up"), *out = path_join(place.house.repo, "out"),
			  *far = path_join(place.house.repo, "d/far");
	assert_int_equal(symlink("../d", up), 0);
	assert_int_equal(symlink("d/up/../..", out), 0);
	assert_int_equal(symlink("up/up/../../..", far), 0);
	house_commit(&place.house, "x");
	assert_ok(check_out(&place, (struct globs){NULL, 0}, NULL, &err), err);
	struct stat st;
	cleanup_free char *made_up = path_join(place.to, "d/up"), *made_out = path_join(place.to, "out"), *made_far = path_join(place.to, "d/far");
	assert_int_equal(lstat(made_up, &st), 0);
	assert_int_equal(lstat(made_out, &st), -1);
	assert_int_equal(lstat(made_far, &st), -1);
	place_done(&place);
}

/* git would not write it, but anybody can push it: a link and a folder of one name. */
static void a_folder_is_not_made_through_a_link_of_its_name(void **state)
{
	struct place place;
	place_make(&place, state);
	cleanup_error struct error *err = NULL;
	house_write(&place.house, "real/a", "x");
	house_commit(&place.house, "x");
	cleanup_free char *head = git_ask(place.house.repo, "rev-parse", "HEAD"), *made = path_join(place.to, "real/sub");
	cleanup_json json_t *json = NULL;
	assert_ok(fetch(&place, "refs/heads/main", NULL, &json, &err), err);
	struct checkout checkout = {.mirror = place.mirror, .commit = head, .to = place.to};
	struct tree_writer writer;
	assert_ok(git_checkout(&checkout, &err), err);
	assert_ok(tree_writer_open(&writer, &checkout, &err), err);
	assert_ok(tree_writer_link(&writer, "link", "real", &err), err);
	assert_int_equal(tree_writer_file(&writer, "link/sub/file", "x", 1, false, &err), -1);
	tree_writer_close(&writer);
	assert_error(err, ERROR_DENIED, "link/sub/file: link/sub: a part of it is a file or a symbolic link");
	assert_false(path_exists(made));
	place_done(&place);
}

static void a_checkpoint_is_not_made_through_a_link(void **state)
{
	struct place place;
	place_make(&place, state);
	cleanup_error struct error *err = NULL;
	cleanup_free char *source = path_join(place.fixture->dir, "source"), *real = path_join(source, "real");
	assert_ok(dir_make(real, 0755, &err), err);
	cleanup_free char *link = path_join(source, "link"), *spec_path = path_join(place.fixture->dir, "prepare.json"),
			  *through = path_join(place.to, "real/kept"), *plain = path_join(place.to, "a/kept");
	assert_int_equal(symlink("real", link), 0);
	for (int i = 0; i < 2; i++) {
		cleanup_json json_t *spec =
			json_pack("{s:s, s:s, s:s}", "workspace", place.to, "source", source, "checkpoint", i ? "a/kept/" : "link/kept");
		cleanup_free char *text = json_text(spec);
		assert_ok(file_write_atomic(spec_path, text, strlen(text), 0600, &err), err);
		char *argv[] = {"prepare", "--spec", spec_path, NULL};
		assert_int_equal(prepare_command(3, argv), i ? 0 : 1);
		assert_false(path_exists(through));
		assert_int_equal(path_exists(plain), i);
	}
	place_done(&place);
}

static void only_what_is_asked_for_comes_out(void **state)
{
	struct place place;
	place_make(&place, state);
	cleanup_error struct error *err = NULL;
	house_write(&place.house, "src/a.py", "a");
	house_write(&place.house, "model/old.bin", "old");
	house_write(&place.house, "model2/keep.bin", "keep");
	house_commit(&place.house, "x");
	static const char *const globs[] = {"src/**", "model*/**"}, *const exclude[] = {"model/", NULL};
	assert_ok(check_out(&place, (struct globs){globs, 2}, exclude, &err), err);
	cleanup_free char *a = read_out(&place, "src/a.py"), *old = read_out(&place, "model/old.bin"), *keep = read_out(&place, "model2/keep.bin");
	assert_non_null(a);
	assert_null(old);
	assert_non_null(keep);
	place_done(&place);
}

static void an_lfs_pointer_is_an_error_that_names_the_file(void **state)
{
	struct place place;
	place_make(&place, state);
	cleanup_error struct error *err = NULL;
	house_write(&place.house, "data/big.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n");
	house_commit(&place.house, "x");
	assert_int_equal(check_out(&place, (struct globs){NULL, 0}, NULL, &err), -1);
	assert_error(err, ERROR_UNSUPPORTED,
		     "data/big.bin is a Git LFS pointer, its content is not in the repository; Git LFS is not available in this build: "
		     "commit the file itself, or name `inputs` without it");
	error_free(STEAL(err));
	static const char *const globs[] = {"src/**"};
	assert_ok(check_out(&place, (struct globs){globs, 1}, NULL, &err), err);
	place_done(&place);
}

static void a_working_tree_is_taken_as_it_is_but_for_what_git_ignores(void **state)
{
	struct place place;
	place_make(&place, state);
	cleanup_error struct error *err = NULL;
	house_write(&place.house, ".gitignore", "*.log\nvenv/\nkept.log\n");
	house_write(&place.house, "kept.log", "added in spite of it");
	house_write(&place.house, "a.txt", "old");
	GIT(place.house.repo, "add", "-f", "kept.log");
	house_commit(&place.house, "x");
	house_write(&place.house, "a.txt", "changed");
	house_write(&place.house, "new.txt", "new");
	house_write(&place.house, "x.log", "ignored");
	house_write(&place.house, "venv/lib/x.py", "ignored");
	house_write(&place.house, ".penstock.yml", "stages: {}");
	cleanup_json json_t *json = NULL;
	assert_ok(git_snapshot(place.house.repo, place.to, &json, &err), err);
	cleanup_free char *a = read_out(&place, "a.txt"), *new = read_out(&place, "new.txt"), *kept = read_out(&place, "kept.log"),
			  *log = read_out(&place, "x.log"), *venv = read_out(&place, "venv/lib/x.py"), *head = read_out(&place, ".git/HEAD");
	assert_string_equal(a, "changed");
	assert_string_equal(new, "new");
	assert_non_null(kept);
	assert_null(log);
	assert_null(venv);
	assert_null(head);
	assert_string_equal(json_string_or(json, "branch", ""), "main");
	assert_int_equal(json_array_size(json_object_get(json, "pipelines")), 1);
	place_done(&place);
}

static void a_folder_without_git_is_taken_whole(void **state)
{
	struct place place;
	place_make(&place, state);
	cleanup_error struct error *err = NULL;
	cleanup_free char *plain = path_join(place.fixture->dir, "plain"), *file = fixture_write(place.fixture, "plain/a.txt", "x"), *text = NULL;
	cleanup_json json_t *json = NULL;
	assert_ok(git_snapshot(plain, place.to, &json, &err), err);
	text = read_out(&place, "a.txt");
	assert_string_equal(text, "x");
	assert_non_null(file);
	place_done(&place);
}

/* Built with plumbing, as an attacker would: the porcelain refuses such a tree. */
static void a_tree_with_a_git_folder_in_it_is_refused(void **state)
{
	struct place place;
	place_make(&place, state);
	cleanup_error struct error *err = NULL;
	house_commit(&place.house, "x");
	const char *argv[] = {"/bin/sh", "-ec",
			      "b=$(echo evil | git hash-object -w --stdin); s=$(printf '100644 blob %s\\tHEAD\\n' $b | git mktree); "
			      "t=$(printf '040000 tree %s\\t.GiT\\n' $s | git mktree --missing); "
			      "GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b git commit-tree $t -m x",
			      NULL};
	struct child_result result;
	assert_ok(child_run(&(struct child_spec){.argv = argv, .dir = place.house.repo}, &result, &err), err);
	assert_int_equal(result.exit_code, 0);
	cleanup_free char *commit = xstrndup(result.out, 40);
	child_result_done(&result);
	GIT(place.house.repo, "update-ref", "refs/heads/evil", commit);
	cleanup_json json_t *json = NULL;
	int fetched = git_fetch(place.house.repo, place.mirror, commit, "refs/heads/evil", NULL, &json, &err);
	if (fetched == 0) {
		assert_int_equal(git_checkout(&(struct checkout){.mirror = place.mirror, .commit = commit, .to = place.to}, &err), -1);
		assert_error(err, ERROR_INVALID, "the tree has a path that no checkout may write");
	}
	place_done(&place);
}

static void a_commit_of_too_many_files_or_bytes_is_not_written_whole(void **state)
{
	struct place place;
	place_make(&place, state);
	cleanup_error struct error *err = NULL;
	house_write(&place.house, "a/1", "1234");
	house_write(&place.house, "a/2", "1234");
	house_write(&place.house, "b/1", "1234");
	house_commit(&place.house, "x");
	cleanup_free char *head = git_ask(place.house.repo, "rev-parse", "HEAD");
	cleanup_json json_t *json = NULL;
	assert_ok(fetch(&place, "refs/heads/main", NULL, &json, &err), err);
	static const char *const only_a[] = {"a/**"};
	static const struct {
		uint64_t files, bytes;
		struct globs include;
		const char *why;
	} cases[] = {
		{3, 12, {NULL, 0}, NULL},
		{2, 12, {NULL, 0}, "the commit holds more than 2 files: name only those that the stage needs as its `inputs`"},
		{3, 11, {NULL, 0}, "the commit holds more than 11 bytes in its files: name only those that the stage needs as its `inputs`"},
		{2, 8, {only_a, 1}, NULL}, /* what nobody asked for costs nothing */
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_ok(tree_remove(place.to, &err), err);
		const struct checkout checkout = {.mirror = place.mirror,
						  .commit = head,
						  .to = place.to,
						  .include = cases[i].include,
						  .max_files = cases[i].files,
						  .max_bytes = cases[i].bytes};
		assert_int_equal(git_checkout(&checkout, &err), cases[i].why ? -1 : 0);
		if (cases[i].why)
			assert_error(err, ERROR_TOO_LARGE, cases[i].why);
		error_free(STEAL(err));
		cleanup_free char *last = read_out(&place, "b/1");
		assert_int_equal(last != NULL, i == 0);
	}
	place_done(&place);
}

/* Twelve trees of eight times the one before: 8^11 folders in a few hundred bytes, and not one file that is asked for. */
static void a_bomb_of_trees_is_put_out(void **state)
{
	struct place place;
	place_make(&place, state);
	cleanup_error struct error *err = NULL;
	house_commit(&place.house, "x");
	const char *argv[] = {"/bin/sh", "-ec",
			      "b=$(echo x | git hash-object -w --stdin); t=$(printf '100644 blob %s\\tf\\n' $b | git mktree); "
			      "for i in 1 2 3 4 5 6 7 8 9 10 11; do "
			      "t=$(for n in a b c d e f g h; do printf '040000 tree %s\\t%s\\n' $t $n; done | git mktree); done; "
			      "GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b git commit-tree $t -m x",
			      NULL};
	struct child_result result;
	assert_ok(child_run(&(struct child_spec){.argv = argv, .dir = place.house.repo}, &result, &err), err);
	assert_int_equal(result.exit_code, 0);
	cleanup_free char *commit = xstrndup(result.out, 40);
	child_result_done(&result);
	GIT(place.house.repo, "update-ref", "refs/heads/bomb", commit);
	cleanup_json json_t *json = NULL;
	cleanup_free char *before = git_ask(place.house.repo, "rev-parse", "HEAD");
	assert_ok(git_fetch(place.house.repo, place.mirror, before, "refs/heads/main", NULL, &json, &err), err);
	json_decref(STEAL(json));
	/* Here, too: what has changed since is more than memory holds. */
	assert_ok(git_fetch(place.house.repo, place.mirror, commit, "refs/heads/bomb", before, &json, &err), err);
	assert_true(json_is_null(json_object_get(json, "changed")));
	struct checkout checkout = {.mirror = place.mirror, .commit = commit, .to = place.to, .max_files = 100};
	assert_int_equal(git_checkout(&checkout, &err), -1);
	assert_error(err, ERROR_TOO_LARGE, "the commit holds more than 100 files: name only those that the stage needs as its `inputs`");
	error_free(STEAL(err));
	static const char *const none[] = {"src/**"};
	checkout.include = (struct globs){none, 1};
	assert_int_equal(git_checkout(&checkout, &err), -1);
	assert_error(err, ERROR_TOO_LARGE, "the commit holds more than 1000 files and folders");
	place_done(&place);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_fetch_tells_the_commit_its_changes_and_its_pipelines),
		TEST(what_came_before_may_be_unknown),
		TEST(a_ref_that_is_gone_does_not_hide_the_commit),
		TEST(an_annotated_tag_is_its_commit),
		TEST(an_unknown_commit_is_told),
		TEST(hostile_names_are_refused_before_git_sees_them),
		TEST(a_repository_that_is_gone_says_what_to_do),
		TEST(files_links_and_modes_come_out_as_they_went_in),
		TEST(links_do_not_climb_out_over_other_links),
		TEST(a_folder_is_not_made_through_a_link_of_its_name),
		TEST(a_checkpoint_is_not_made_through_a_link),
		TEST(only_what_is_asked_for_comes_out),
		TEST(an_lfs_pointer_is_an_error_that_names_the_file),
		TEST(a_working_tree_is_taken_as_it_is_but_for_what_git_ignores),
		TEST(a_folder_without_git_is_taken_whole),
		TEST(a_tree_with_a_git_folder_in_it_is_refused),
		TEST(a_commit_of_too_many_files_or_bytes_is_not_written_whole),
		TEST(a_bomb_of_trees_is_put_out),
	};
	git_init();
	loop_free(loop_new()); /* libuv keeps a pipe for signals from its first loop on */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
