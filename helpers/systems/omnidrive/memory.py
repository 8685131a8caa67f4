"""What a head remembers of earlier frames: moved to where the vehicle is now, used, and put away on the map.

In a state time stamps count from the frame that comes next, points and poses are on the map (global, meters).
"""

from typing import NamedTuple

import torch
from torch import Tensor

LONGEST_GAP = 2.0  # seconds; what is older was another drive


class Motion(NamedTuple):
    """Where and when a frame is: is_first_frame and timestamp [B] (1 or 0; seconds), poses [B, 4, 4], m.

    ego_pose takes a point of the vehicle's frame onto the map, ego_pose_inv back.
    """

    is_first_frame: Tensor
    timestamp: Tensor
    ego_pose: Tensor
    ego_pose_inv: Tensor

    def kept(self, sample_time: Tensor) -> Tensor:
        """[B] 1.0 where the past belongs to this frame, 0.0 where it is dropped; sample_time [B] from the state.

        Whole gaps are counted, and nothing is compared: no truths are in the graph, which has one kind of number.
        """
        gaps = ((sample_time + self.timestamp).abs() / LONGEST_GAP).floor()
        return (1 - gaps.clamp(max=1)) * (1 - self.is_first_frame)


class Memory(NamedTuple):
    """Rows, newest first: embedding [B, M, C], reference_point [B, M, ..., 3], timestamp [B, M, 1], pose [B, M, 4, 4].

    poses take a point of the frame in which a row was new to where the vehicle is, or onto the map in a state.
    """

    embedding: Tensor
    reference_point: Tensor
    timestamp: Tensor
    pose: Tensor

    def recalled(self, motion: Motion, kept: Tensor, rows: int) -> "Memory":
        """The first `rows` of a state as this frame sees them: points and poses in ego, time stamps as the time since.

        What is dropped becomes zeros, poses and all, and stays among the keys.
        """
        moved = Memory(
            self.embedding[:, :rows],
            moved_points(self.reference_point[:, :rows], motion.ego_pose_inv),
            self.timestamp[:, :rows] + motion.timestamp[:, None, None],
            motion.ego_pose_inv[:, None] @ self.pose[:, :rows],
        )
        return Memory(*(_times(part, kept) for part in moved))

    def with_newest(self, embedding: Tensor, reference_point: Tensor, scores: Tensor, count: int) -> "Memory":
        """The `count` rows of highest score, of this time and at this pose, before what is remembered.

        embedding [B, Q, C], reference_point [B, Q, ..., 3], scores [B, Q].
        """
        best = scores.topk(count, 1).indices
        poses = torch.eye(4, dtype=embedding.dtype, device=embedding.device).expand(len(best), count, 4, 4)
        newest = Memory(
            _rows(embedding, best), _rows(reference_point, best), torch.zeros_like(embedding[:, :count, :1]), poses
        )
        return Memory(*(torch.cat(pair, 1) for pair in zip(newest, self, strict=True)))

    def stored(self, motion: Motion) -> "Memory":
        """As the state of the next frame: points and poses on the map, time stamps from that frame."""
        return Memory(
            self.embedding,
            moved_points(self.reference_point, motion.ego_pose),
            self.timestamp - motion.timestamp[:, None, None],
            motion.ego_pose[:, None] @ self.pose,
        )


def moved_points(points: Tensor, pose: Tensor) -> Tensor:
    """Points [B, ..., 3] through poses [B, 4, 4]."""
    flat = points.flatten(1, -2)
    flat = torch.cat([flat, torch.ones_like(flat[..., :1])], -1) @ pose.transpose(1, 2)
    return flat[..., :3].reshape(points.shape)


def _times(part, kept):
    return part * kept.view(-1, *[1] * (part.dim() - 1))


def _rows(tensor, indices):
    """Rows [B, K] of [B, Q, ...], without a gradient: nothing is learned through time."""
    flat = tensor.flatten(2).detach()
    return flat.gather(1, indices[..., None].expand(-1, -1, flat.shape[2])).unflatten(2, tensor.shape[2:])
