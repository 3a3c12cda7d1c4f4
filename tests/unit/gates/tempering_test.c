#include "gates/stats/tempering.h"
#include "tests/support/noisy_counts.h"
#include "tests/support/support.h"

#include <math.h>

#define assert_near(value, expected, tolerance) assert_true(fabs((value) - (expected)) <= (tolerance))

static void phi_is_pearsons_over_instances(void **state)
{
	(void)state;
	struct tempering test = {0};
	/* 10, 30, 20 of 1000 each: rate .02, X^2 = (100 + 100 + 0) / (20 * .98) = 10.2041 over 2 degrees. R:
	 * chisq.test(matrix(c(10, 30, 20, 990, 970, 980), 2, byrow = TRUE)) gives 10.204081632653061 */
	struct instance_counts stable[] = {{1000, 10}, {1000, 30}, {1000, 20}};
	assert_true(isinf(tempering_phi(&test)));
	tempering_observe(&test, stable, 3);
	assert_true(isinf(tempering_phi(&test))); /* one block is too few */
	tempering_observe(&test, stable, 3);
	assert_near(tempering_phi(&test), 10.204081632653061 / 2, 1e-12);
}

static void a_single_counter_is_compared_with_the_block_before(void **state)
{
	(void)state;
	struct tempering test = {0};
	struct instance_counts first = {1000, 10}, second = {2000, 60}, silence = {0, 0};
	tempering_observe(&test, &first, 1);
	tempering_observe(&test, &silence, 1);
	tempering_observe(&test, &second, 1);
	/* R: chisq.test(matrix(c(10, 60, 990, 1940), 2, byrow = TRUE), correct = FALSE) gives 11.70161 */
	assert_near(tempering_phi(&test), 11.70160, 1e-4);
}

static void phi_is_at_least_one_and_grows_with_the_noise(void **state)
{
	(void)state;
	struct tempering quiet = {0}, noisy = {0};
	struct rng rng;
	struct noisy_arm arm = {.n = 9};
	rng_seed(&rng, 3);
	for (int block = 0; block < 200; block++) {
		noisy_redraw(&rng, &arm, 0);
		noisy_draw(&rng, &arm, 600, 0.01, 0);
		tempering_observe(&quiet, arm.counts, 9);
		noisy_redraw(&rng, &arm, 1);
		noisy_draw(&rng, &arm, 600, 0.01, 0);
		tempering_observe(&noisy, arm.counts, 9);
	}
	/* Mean 6 errors with noise of CV 1: variance 6 + 36 over 6 = 7, less a tenth of the noise as the block's own mean divides. */
	assert_true(tempering_phi(&quiet) >= 1 && tempering_phi(&quiet) < 1.1);
	assert_near(tempering_phi(&noisy), 6.4, 1.2);
	struct tempering silent = {0};
	struct instance_counts none[2] = {{100, 0}, {100, 0}};
	tempering_observe(&silent, none, 2);
	tempering_observe(&silent, none, 2);
	assert_near(tempering_phi(&silent), 1, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(phi_is_pearsons_over_instances),
		cmocka_unit_test(a_single_counter_is_compared_with_the_block_before),
		cmocka_unit_test(phi_is_at_least_one_and_grows_with_the_noise),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
