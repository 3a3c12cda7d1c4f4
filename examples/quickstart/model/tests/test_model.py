import csv
import json
import os
import sys
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path.insert(0, os.path.join(ROOT, "src"))
import model  # noqa: E402
import serve  # noqa: E402


class Fitting(unittest.TestCase):
    def test_separates_what_can_be_separated(self):
        rows = [{"x": x} for x in (-2.0, -1.0, 1.0, 2.0)]
        fitted = model.fit(rows, [0, 0, 1, 1], ["x"], 500, 0.5, 0.0)
        self.assertLess(fitted.predict({"x": -1.5}), 0.1)
        self.assertGreater(fitted.predict({"x": 1.5}), 0.9)

    def test_params_name_columns_of_the_data(self):
        with open(os.path.join(ROOT, "params.json")) as f:
            features = json.load(f)["features"]
        with open(os.path.join(ROOT, "data", "wdbc.csv"), newline="") as f:
            columns = next(csv.reader(f))
        self.assertEqual([name for name in features if name not in columns], [])


class Serving(unittest.TestCase):
    def setUp(self):
        serve.MODEL = model.Model(["x"], [0.0], [1.0], [1.0], 0.0)

    def test_predicts(self):
        status, _, body = serve.answer("POST", "/predict", b'{"x": 0, "radius_mean": 14}')
        self.assertEqual((status, json.loads(body)["malignant"]), (200, 0.5))

    def test_refuses_a_row_without_its_features(self):
        self.assertEqual(serve.answer("POST", "/predict", b"{}")[0], 400)

    def test_metrics_end_as_openmetrics_wants(self):
        self.assertTrue(serve.answer("GET", "/metrics", b"")[2].endswith(b"# EOF\n"))


if __name__ == "__main__":
    unittest.main()
