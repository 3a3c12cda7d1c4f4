"""Trains on seven rows of ten, predicts the other three, and writes what the later stages need."""
import argparse
import csv
import json
import os
import time

from model import fit


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="data/wdbc.csv")
    parser.add_argument("--params", default="params.json")
    parser.add_argument("--model", default="model/model.json")
    parser.add_argument("--predictions", default="out/predictions.csv")
    parser.add_argument("--metrics", default="out/metrics.json")
    args = parser.parse_args()

    with open(args.params) as f:
        params = json.load(f)
    with open(args.data, newline="") as f:
        rows = list(csv.DictReader(f))
    # By id, not at random: the held-out rows stay the same, so that models can be compared on them row by row.
    train = [row for row in rows if int(row["id"]) % 10 < 7]
    held_out = [row for row in rows if int(row["id"]) % 10 >= 7]

    started = time.monotonic()
    model = fit(train, [int(row["malignant"]) for row in train], params["features"], params["epochs"],
                params["learning_rate"], params["l2"])
    print(f"trained on {len(train)} rows and {len(params['features'])} features in {time.monotonic() - started:.1f} s")

    for path in (args.model, args.predictions, args.metrics):
        os.makedirs(os.path.dirname(path), exist_ok=True)
    model.save(args.model)
    predictions = [model.predict(row) for row in held_out]
    with open(args.predictions, "w", newline="") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(["id", "malignant", "p"])
        out.writerows([row["id"], row["malignant"], f"{p:.12g}"] for row, p in zip(held_out, predictions))

    started = time.monotonic()
    for row in held_out:
        model.predict(row)
    with open(args.metrics, "w") as f:
        json.dump({"predict_us": round((time.monotonic() - started) / len(held_out) * 1e6, 1)}, f)
        f.write("\n")
    print(f"predicted {len(held_out)} held-out rows")


if __name__ == "__main__":
    main()
