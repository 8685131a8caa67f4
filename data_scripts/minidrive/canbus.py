"""CAN bus messages of a scene, as nuscenes-devkit's NuScenesCanBus reads them (fields of its CAN bus readme)."""

import numpy as np

from .geometry import quaternion, rotation_z

WHEELBASE, STEERING_RATIO, GRAVITY = 2.588, 14.0, 9.81


def state(world, t):
    """Motion of the ego at time t (s): pose, speed m/s, yaw rate rad/s, acceleration m/s^2 (ego frame, no gravity)."""
    x, y, yaw = world.ego(t)
    speed = float(world.ego_speed(t))
    bend = float(world.ego_curvature(t))
    along = float((world.ego_speed(t + 0.02) - world.ego_speed(t - 0.02)) / 0.04)
    return {
        "pos": [x, y, 0.0],
        "orientation": quaternion(rotation_z(yaw)).tolist(),
        "speed": speed,
        "yaw_rate": speed * bend,
        "accel": [along, speed * speed * bend],
        "steering": float(np.arctan(WHEELBASE * bend) * STEERING_RATIO),
    }


def messages(world, start):
    """All message files of a scene: {message name: content}; `start` is the time stamp (us) of time 0."""
    times = lambda rate: np.arange(-0.5, world.duration + 0.5, 1.0 / rate)  # noqa: E731
    utime = lambda t: start + round(t * 1e6)  # noqa: E731
    out = {
        name: [] for name in ("pose", "ms_imu", "steeranglefeedback", "vehicle_monitor", "zoesensors", "zoe_veh_info")
    }
    for t in times(50):
        now = state(world, t)
        accel, rate = [*now["accel"], GRAVITY], [0.0, 0.0, now["yaw_rate"]]
        base = {"utime": utime(t)}
        pose = {"accel": accel, "orientation": now["orientation"], "pos": now["pos"], "rotation_rate": rate}
        out["pose"].append(base | pose | {"vel": [now["speed"], 0.0, 0.0]})
        out["ms_imu"].append(base | {"linear_accel": accel, "q": now["orientation"], "rotation_rate": rate})
        out["steeranglefeedback"].append(base | {"value": now["steering"]})
        pedals = {"brake_sensor": max(0.0, -now["accel"][0]) / 10, "throttle_sensor": max(0.0, now["accel"][0]) / 10}
        out["zoesensors"].append(base | pedals | {"steering_sensor": now["steering"]})
        rpm = now["speed"] / (2 * np.pi * 0.305) * 60
        wheels = {f"{w}_wheel_speed": rpm for w in ("FL", "FR", "RL", "RR")}
        forces = {"left_solar": 0.0, "longitudinal_accel": now["accel"][0], "meanEffTorque": 400.0, "odom": 0.0}
        more = {"odom_speed": now["speed"] * 3.6, "pedal_cc": 0.0, "regen": 0.0, "requestedTorqueAfterProc": 400.0}
        more |= {"right_solar": 0.0, "steer_corrected": np.degrees(now["steering"]), "steer_offset_can": 0.0}
        more |= {"steer_raw": np.degrees(now["steering"]), "transversal_accel": now["accel"][1]}
        out["zoe_veh_info"].append(base | wheels | forces | more)
    for t in times(2):
        out["vehicle_monitor"].append(_monitor(state(world, t), utime(t)))
    out["meta"] = {name: _statistics(rows) for name, rows in out.items()}
    out["route"] = np.stack(
        world.route.at(np.arange(0.0, world.route.length, 1.0), world.streets.ego_lane)[:2], -1
    ).tolist()
    return out


def _monitor(now, utime):
    return {
        "available_distance": 150.0,
        "battery_level": 80.0,
        "brake": round(max(0.0, -now["accel"][0]) * 10),
        "brake_switch": 2 if now["accel"][0] < -0.3 else 1,
        "gear_position": 7,
        "left_signal": 0,
        "rear_left_rpm": now["speed"] / (2 * np.pi * 0.305) * 60,
        "rear_right_rpm": now["speed"] / (2 * np.pi * 0.305) * 60,
        "right_signal": 0,
        "steering": float(np.degrees(now["steering"])),
        "steering_speed": 0.0,
        "throttle": round(max(0.0, now["accel"][0]) * 100),
        "utime": utime,
        "vehicle_speed": now["speed"] * 3.6,
        "yaw_rate": float(np.degrees(now["yaw_rate"])),
    }


def _statistics(rows):
    """Per-field summary, the content of the `meta` file."""
    span = (rows[-1]["utime"] - rows[0]["utime"]) / 1e6
    out = {"message_count": len(rows), "message_freq": (len(rows) - 1) / span, "timespan": span, "var_stats": {}}
    for key in rows[0]:
        values = np.array([row[key] for row in rows], float).reshape(len(rows), -1)
        stats = {"max": values.max(0), "mean": values.mean(0), "min": values.min(0), "std": values.std(0)}
        out["var_stats"][key] = {k: v.tolist() for k, v in stats.items()}
    return out
