/* SPDX-License-Identifier: BSD-3-Clause */
#include <uk/arch/types.h>
#define VIRTIO_F_VERSION_1 32
struct uk_alloc;
struct virtio_dev {
	__u64 features;
};
struct virtqueue {
	struct virtio_dev *vdev;
	__u16 queue_id;
	int (*vq_notify_host)(struct virtio_dev *vdev, __u16 queue);
	void *priv;
};
typedef int (*virtqueue_callback_t)(struct virtqueue *vq, void *priv);
struct virtio_dev_id {
	__u16 virtio_device_id;
};
struct virtio_driver {
	const struct virtio_dev_id *dev_ids;
	int (*init)(struct uk_alloc *a);
	int (*add_dev)(struct virtio_dev *vdev);
};
#define VIRTIO_BUS_REGISTER_DRIVER(d) struct virtio_driver *standin_driver = d
__u64 virtio_feature_get(struct virtio_dev *vdev);
void virtio_feature_set(struct virtio_dev *vdev);
int virtio_config_get(struct virtio_dev *vdev, __u16 offset, void *into, __u32 len, __u8 unit);
int virtio_find_vqs(struct virtio_dev *vdev, __u16 count, __u16 *sizes);
struct virtqueue *virtio_vqueue_setup(struct virtio_dev *vdev, __u16 id, __u16 size, virtqueue_callback_t done, struct uk_alloc *a);
void virtio_dev_drv_up(struct virtio_dev *vdev);
__paddr_t virtqueue_physaddr(struct virtqueue *vq);
__paddr_t virtqueue_get_avail_addr(struct virtqueue *vq);
__paddr_t virtqueue_get_used_addr(struct virtqueue *vq);
unsigned int virtqueue_vring_get_num(struct virtqueue *vq);
