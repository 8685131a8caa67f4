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


def test_why_tactics_were_skipped_is_shown_last_and_is_no_warning(trt):
    """Said in detail alone, among thousands of other lines; without it a refusal has no reason."""
    severity, log = trt.ILogger.Severity, messages.logger()
    with messages.captured() as found:
        for number in (0, 1, 2, 3, 3):
            log.log(severity.VERBOSE, f"Skipping tactic 0 due to Myelin error: mismatch {number}")
            log.log(severity.VERBOSE, "Tactic: 0 Time: 0.1")
        log.log(severity.ERROR, "no implementation")
        assert found.warnings() == ["no implementation"]
        assert [line.split()[-1] for line in str(found).splitlines()] == ["implementation", "1", "2", "3"]
    with messages.captured() as found:
        assert str(found) == "  (no message)"


def test_what_is_said_again_and_again_is_skipped_and_the_last_is_shown(trt):
    recorder = messages.recorder(trt, skip="again")
    for number in range(30):
        recorder.log(trt.ILogger.Severity.WARNING, f"{number}")
        recorder.log(trt.ILogger.Severity.WARNING, "again and again")
    shown = str(messages.Messages(recorder.messages)).splitlines()
    assert len(shown) == 20 and shown[-1].endswith(": 29")
