from __future__ import annotations


def test_an_agent_learns_what_can_be_trained_and_the_limits(agent) -> None:
    told = agent.ok("GET", "/capabilities")

    assert [kind["taskType"] for kind in told["taskTypes"]] == [
        "classification",
        "detection",
        "keypoints",
        "segmentation",
    ]
    assert told["formats"] == ["onnx", "pth"]
    assert {"native", "coco", "yolo", "voc", "labelstudio"} <= set(told["importFormats"])
    assert told["limits"] == {"jsonBytes": 104857600, "imageBytes": 52428800, "filesPerUpload": 20}
    assert told["rateLimit"] == {"perMinute": 60, "burst": 120, "refillPerSecond": 1.0}
