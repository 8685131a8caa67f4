"""TensorRT's messages."""

from helpers.engine.tensorrt import messages


def test_warnings_and_errors_are_kept_until_the_next_capture(trt):
    severity = trt.ILogger.Severity
    with messages.captured() as log:
        for kind, text in ((severity.ERROR, "refused"), (severity.WARNING, "odd"), (severity.INFO, "fine")):
            messages.logger().log(kind, text)
        messages.logger().log(severity.WARNING, "odd")
        assert str(log) == "  ERROR: refused\n  WARNING: odd\n  WARNING: odd" == str(messages.recent())
        assert log.warnings() == ["refused", "odd"]
    with messages.captured() as log:
        assert str(log) == "  (no message)" and messages.logger() is messages.logger()


def test_what_is_said_again_and_again_is_skipped_and_the_last_is_shown(trt):
    recorder = messages.recorder(trt, skip="again")
    for number in range(30):
        recorder.log(trt.ILogger.Severity.WARNING, f"{number}")
        recorder.log(trt.ILogger.Severity.WARNING, "again and again")
    shown = str(messages.Messages(recorder.messages)).splitlines()
    assert len(shown) == 20 and shown[-1].endswith(": 29")
